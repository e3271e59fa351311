//! What both gatepost programs share.
