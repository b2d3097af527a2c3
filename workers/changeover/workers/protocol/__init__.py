"""The vocabulary that both planes speak: identities, epochs, snapshots, messages. Pure."""
