"""The provider kind `openai_responses`: start at `provider`."""
