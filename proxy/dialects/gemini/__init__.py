"""The dialect `gemini`: start at `dialect`."""
