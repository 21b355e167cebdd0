"""The provider kind `openai_chat`: start at `provider`."""
