"""Parts of the study of what prototypes are worth against their bytes, without any training."""
