"""How a digest gets signed: one key per member (software or node wallet) behind the guard that signs once."""
