mi_fuzz(identity_scan base model store catalog)
