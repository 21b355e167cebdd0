"""What tests share: a scripted upstream, the recordings, and readers that look at a stream through real SDKs."""
