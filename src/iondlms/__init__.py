"""DLMS/COSEM of the PowerLogic ION meters."""
