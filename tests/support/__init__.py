"""What tests share: real databases, real servers, worlds."""
