//! DNS messages for the client name lookup of SMTP: queries out, answers in. No sockets.
