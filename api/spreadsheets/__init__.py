"""Tables as offices send them, CSV and XLSX, read as a stream with a place for every fault."""
