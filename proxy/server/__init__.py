"""The HTTP server: routes, one handler for generations, lists, health, and the process's own life."""
