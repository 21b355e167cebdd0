"""The dialect `openai_chat`: start at `dialect`."""
