"""The boto seam: it moves ciphertext and envelopes through boto, and plaintext terms back to the caller."""
