//! Lines, words and literals.

use super::*;

#[test]
fn commands_may_be_pipelined_and_end_in_a_bare_lf() {
    check(
        "C: a1 NOOP<LF>a2 NOOP
        S: a1 OK completed
        S: a2 OK completed",
    );
}

#[test]
fn login_with_atoms_quoted_strings_and_literals() {
    for command in [
        "LOGIN joe pw",
        "login  joe  pw ",
        r#"LOGIN "joe" "pw""#,
        r#"LOGIN joe "p\w""#,
        "LOGIN {3+}<CR><LF>joe pw",
        "LOGIN {3+}<CR><LF>joe {2+}<CR><LF>pw",
        r#"LOGIN "joe" {2+}<CR><LF>pw"#,
        "LOGIN {003+}<LF>joe {2+}<LF>pw",
    ] {
        check(&format!("C: a1 {command}\n= auth plain 'joe' 'pw'"));
    }
    check("C: a1 LOGIN joe \"\"\n= auth plain 'joe' ''");
    check("C: a1 LOGIN j\"o{e} p\\w\n= auth plain 'j\"o{e}' 'p\\w'");
}

#[test]
fn login_with_synchronizing_literals() {
    check(
        "C: a1 LOGIN {3}
        S: + OK
        C: joe {2}
        S: + OK
        C: pw
        = auth plain 'joe' 'pw'",
    );
    // A client that does not wait is served too.
    check(
        "C: a1 LOGIN {3}<CR><LF>joe {2}<CR><LF>pw
        S: + OK
        S: + OK
        = auth plain 'joe' 'pw'",
    );
}

#[test]
fn a_literal_holds_any_byte_that_is_no_line_end() {
    check(
        r#"C: a1 LOGIN joe {14}
        S: + OK
        C: "\} {1+}a NOOP
        = auth plain 'joe' '"\} {1+}a NOOP'"#,
    );
    for literal in ["p<CR>", "p<LF>", "p<NUL>"] {
        check(&format!(
            "C: a1 LOGIN joe {{2}}
            S: + OK
            C: {literal}
            S: a1 BAD invalid command
            L: InvalidCredentials"
        ));
    }
    check(
        "C: a1 LOGIN {2+}
        C: j<LF> pw
        S: a1 BAD invalid command
        L: InvalidCredentials",
    );
}

#[test]
fn zero_literals_are_empty_strings() {
    check("C: a1 LOGIN joe {0}\nS: + OK\nC:\n= auth plain 'joe' ''");
    check("C: a1 LOGIN joe {0+}\nC:\n= auth plain 'joe' ''");
    check("C: a1 LOGIN joe {}\nS: + OK\nC:\n= auth plain 'joe' ''");
    check("C: a1 LOGIN {0}\nS: + OK\nC:  pw\nS: a1 BAD invalid command");
}

#[test]
fn behind_a_literal_comes_a_space_or_the_end() {
    check(
        "C: a1 LOGIN {3}
        S: + OK
        C: joepw
        S: a1 BAD invalid command
        C: a2 LOGIN joe {2}
        S: + OK
        C: pw x
        S: a2 BAD invalid command
        C: a3 NOOP
        S: a3 OK completed",
    );
}

#[test]
fn refused_literals() {
    // One that waits for an invitation never comes.
    check(
        "C: a1 SELECT {5}
        S: a1 BAD invalid command
        C: a2 NOOP {5}
        S: a2 BAD invalid command
        C: a3 LOGIN joe pw {5}
        S: a3 BAD invalid command
        C: a4 NOOP
        S: a4 OK completed",
    );
    // Any other is on its way and cannot be told from commands.
    for line in ["SELECT {5+}", "NOOP {5+}", "LOGIN joe pw {5+}", "LOGIN joe{5+}", "NOOP {x+}<CR>", "{5+}"] {
        check(&format!("C: a1 {line}\nS: a1 BAD invalid command\n= close"));
    }
    check("C: SELECT{5+}\nS: * BAD invalid command\n= close");
    check("C: a1 LOGIN {3+}\nC: joe{2+}\nS: a1 BAD invalid command\n= close");
}

#[test]
fn a_command_fits_the_buffer_with_its_literals() {
    // 512 = 20 of line with its end, 490 of literal, 2 for the line end behind it.
    let password = "x".repeat(490);
    check(&format!("C: a1 LOGIN joe {{490}}\nS: + OK\nC: {password}\n= auth plain 'joe' '{password}'"));
    check(
        "C: a1 LOGIN joe {491}
        S: a1 BAD command too long
        L: TooLongCommand LOGIN 511
        C: a2 NOOP
        S: a2 OK completed
        C: a3 LOGIN joe {99999999999999999999}
        S: a3 BAD command too long
        L: TooLongCommand LOGIN 18446744073709551615
        C: a4 LOGIN joe {492+}
        S: a4 BAD command too long
        L: TooLongCommand LOGIN 513
        = close",
    );
}

#[test]
fn a_line_behind_a_literal_fits_what_is_left() {
    // 512 = 16 of line with its end, 300 of literal, 196 of line with its end.
    let (login, fits) = ("x".repeat(300), "y".repeat(193));
    check(&format!(
        "C: a1 LOGIN {{300}}
        S: + OK
        C: {login} {fits}
        = auth plain '{login}' '{fits}'
        ! refused no
        S: a1 NO no
        C: a2 LOGIN {{300}}
        S: + OK
        C: {login} {fits}y
        S: a2 BAD command too long
        L: TooLongCommand LOGIN 513
        = close"
    ));
}

#[test]
fn an_overlong_line_ends_the_session() {
    let long = "x".repeat(600);
    check(&format!(
        "C: a1 LOGIN joe {long}\nS: a1 BAD command too long\nL: TooLongCommand LOGIN 615\n= close"
    ));
    check(&format!("C: a1 {long}\nS: a1 BAD command too long\nL: TooLongCommand  605\n= close"));
    check(&format!("C: {long}\nS: * BAD command too long\nL: TooLongCommand  602\n= close"));
    check(&format!(
        "C: a1 LOGIN {{3}}
        S: + OK
        C: joe {long}
        S: a1 BAD command too long
        L: TooLongCommand LOGIN 620
        = close"
    ));
    check(&format!(
        "C: a1 AUTHENTICATE PLAIN
        S: +<SP>
        C: {long}
        S: a1 BAD command too long
        L: TooLongCommand  602
        = close"
    ));
}

#[test]
fn tags() {
    check(
        "C: #:/&<>?@[]^`|~!$';,=-_. NOOP
        S: #:/&<>?@[]^`|~!$';,=-_. OK completed
        C:  NOOP
        S: * BAD invalid command
        C: a+1 NOOP
        S: * BAD invalid command
        C: NOOP
        S: * BAD invalid command",
    );
    let (longest, too_long) = ("t".repeat(64), "t".repeat(65));
    check(&format!("C: {longest} NOOP\nS: {longest} OK completed"));
    check(&format!("C: {too_long} NOOP\nS: * BAD invalid command"));
}

#[test]
fn an_empty_line_has_no_tag() {
    check("C:\nS: * BAD invalid command");
    check(
        "C: g99 LOGIN joe wrong
        = auth plain 'joe' 'wrong'
        ! refused Invalid login or password
        S: g99 NO Invalid login or password
        C:
        S: * BAD invalid command
        C: g100 NOOP
        S: g100 OK completed",
    );
}

#[test]
fn line_ends_in_quoted_strings_are_errors_and_nothing_leaks() {
    check(
        r#"C: a1 LOGIN "joe
        S: a1 BAD invalid command
        C: a2 LOGIN "joe" pw"
        = auth plain 'joe' 'pw"'
        ! refused no
        S: a2 NO no
        C: a3 LOGIN "j<CR>oe" pw
        S: a3 BAD invalid command
        C: a4 LOGIN joe "p<NUL>w"
        S: a4 BAD invalid command
        C: a5 LOGIN joe p<CR>w
        S: a5 BAD invalid command"#,
    );
}

#[test]
fn arity_is_exact_and_spaces_separate() {
    for line in [
        "NOOP x",
        "CAPABILITY x",
        "LOGOUT x",
        "STARTTLS x",
        "LOGIN",
        "LOGIN joe",
        "LOGIN joe pw x",
        "LOGIN \"\" pw",
        "LOGIN \"joe\"\"pw\"",
        "AUTHENTICATE",
        "AUTHENTICATE PLAIN AGpvZQBwdw== x",
        "SELECT INBOX",
        "NOOPS",
        "",
    ] {
        check(&format!("C: a1 {line}\nS: a1 BAD invalid command"));
    }
}
