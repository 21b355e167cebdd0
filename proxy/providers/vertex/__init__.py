"""Google Cloud's Vertex AI as an upstream: Gemini and Claude behind one address."""
