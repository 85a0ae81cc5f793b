"""The `twin` command: everything a person does, and the only place that knows all the other parts."""
