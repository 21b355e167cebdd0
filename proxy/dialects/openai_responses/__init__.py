"""The dialect `openai_responses`: start at `dialect`."""
