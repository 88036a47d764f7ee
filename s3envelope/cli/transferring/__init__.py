"""What cp, mv and sync share: what there is to transfer, the transfers themselves, and what is told of them."""
