//! SASL exchanges as the three protocols share them (RFC 4422, RFC 4616, RFC 2195; spec/protocols.md section 5.3).
