"""Where films come from: files, folders, manifests, local or on any fsspec file system."""
