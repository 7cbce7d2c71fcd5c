mi_fuzz(identity base model)
