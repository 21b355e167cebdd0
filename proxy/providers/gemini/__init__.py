"""The provider kind `gemini`: start at `provider`."""
