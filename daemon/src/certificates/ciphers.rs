//! OpenSSL's cipher strings (openssl-ciphers(1)), as far as they choose among the suites that rustls has.
//!
//! What a string does to one suite does not depend on the others there are, so the suites of OpenSSL that rustls lacks
//! can be left out, and the rest come in OpenSSL's order.

use rustls::CipherSuite;

/// `ssl_ciphers` without the directive.
pub(crate) const DEFAULT: &str = "HIGH:!aNULL:!MD5";

/// What a string chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// Suites of TLS 1.2, the preferred ones first. One at least.
    pub(super) suites: Vec<CipherSuite>,
    /// Bits that keys of ciphers must have: above 128 for `@SECLEVEL=4` and more.
    pub(super) least_bits: u16,
}

/// A set of indices into [`TLS12`].
type Set = u8;

/// The suites of TLS 1.2 in OpenSSL's order, with their strength in bits.
const TLS12: [(&str, CipherSuite, u16); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, 256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, 256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, 256),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 128),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, 128),
];

const ALL: Set = 0b11_1111;
const ECDSA: Set = 0b01_0101;
const RSA: Set = 0b10_1010;
const AES256: Set = 0b00_0011;
const CHACHA20: Set = 0b00_1100;
const AES128: Set = 0b11_0000;

/// Words for kinds of suites. Those for kinds that rustls does not have need no line: they choose nothing.
const WORDS: [(&str, Set); 17] = [
    ("AES", AES128 | AES256),
    ("AES128", AES128),
    ("AES256", AES256),
    ("AESGCM", AES128 | AES256),
    ("ALL", ALL),
    ("CHACHA20", CHACHA20),
    ("ECDH", ALL),
    ("ECDHE", ALL),
    ("ECDSA", ECDSA),
    ("EECDH", ALL),
    ("FIPS", AES128 | AES256),
    ("HIGH", ALL),
    ("TLSv1.2", ALL),
    ("aECDSA", ECDSA),
    ("aRSA", RSA),
    ("kECDHE", ALL),
    ("kEECDH", ALL),
];

/// Whole strings that mean others.
const SUITE_B: [(&str, &str); 4] = [
    ("SUITEB128ONLY", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("SUITEB128C2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("SUITEB128", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("SUITEB192", "ECDHE-ECDSA-AES256-GCM-SHA384"),
];

const SEPARATORS: [char; 4] = [':', ' ', ';', ','];

pub(super) const NO_MATCH: &str = "error:0A0000B9:SSL routines::no cipher match";
const INVALID_COMMAND: &str = "error:0A000118:SSL routines::invalid command";

/// Reads a cipher string.
///
/// # Errors
/// OpenSSL's words: the string makes no sense, or chooses nothing.
pub(super) fn select(string: &str) -> Result<Selection, &'static str> {
    let suite_b = SUITE_B.iter().find(|(word, _)| string.starts_with(word));
    let mut rest = suite_b.map_or(string, |(_, meaning)| meaning);
    let mut list = List::new();
    if let Some(behind) = rest.strip_prefix("DEFAULT") {
        list.apply(Rule::Add, ALL);
        rest = behind;
    }
    loop {
        rest = rest.trim_start_matches(SEPARATORS);
        if rest.is_empty() {
            break;
        }
        rest = list.item(rest).ok_or(INVALID_COMMAND)?;
    }
    let suites = list.suites();
    if suites.is_empty() { Err(NO_MATCH) } else { Ok(Selection { suites, least_bits: list.least_bits }) }
}

#[derive(Clone, Copy)]
enum Rule {
    Add,
    /// `-`: until added again.
    Delete,
    /// `!`
    Kill,
    /// `+`: to the end.
    Last,
}

/// The suites that are left, those in use in the order of preference.
struct List {
    /// An index into [`TLS12`], and whether it is in use.
    entries: Vec<(usize, bool)>,
    least_bits: u16,
}

impl List {
    fn new() -> Self {
        Self { entries: (0..TLS12.len()).map(|index| (index, false)).collect(), least_bits: 0 }
    }

    /// Applies the first item of the text and returns what is behind it; `None` if it is none.
    fn item<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let rule = match text.as_bytes()[0] {
            b'@' => return self.command(&text[1..]),
            b'-' => Some(Rule::Delete),
            b'!' => Some(Rule::Kill),
            b'+' => Some(Rule::Last),
            _ => None,
        };
        let mut rest = if rule.is_some() { &text[1..] } else { text };
        let mut set = ALL;
        loop {
            let (word, behind) = split_word(rest);
            if word.is_empty() {
                return None;
            }
            match meaning(word) {
                0 => {
                    // An item with a word that means nothing here is passed over, whatever is behind it.
                    return Some(behind.trim_start_matches(|letter| !SEPARATORS.contains(&letter)));
                }
                meaning => set &= meaning,
            }
            match behind.strip_prefix('+') {
                Some(behind) => rest = behind,
                None => {
                    self.apply(rule.unwrap_or(Rule::Add), set);
                    return Some(behind);
                }
            }
        }
    }

    /// `@STRENGTH` and `@SECLEVEL=N`.
    fn command<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let (word, behind) = split_word(text);
        match word.strip_prefix("SECLEVEL=") {
            _ if word == "STRENGTH" => self.entries.sort_by_key(|&(index, is_used)| match is_used {
                true => u16::MAX - TLS12[index].2,
                false => 0,
            }),
            Some("0" | "1" | "2" | "3") => self.least_bits = 0,
            Some("4" | "5") => self.least_bits = 129,
            _ => return None,
        }
        Some(behind.trim_start_matches(|letter| !SEPARATORS.contains(&letter)))
    }

    fn apply(&mut self, rule: Rule, set: Set) {
        let is_meant = |&(index, is_used): &(usize, bool)| {
            let is_right_kind = match rule {
                Rule::Add => !is_used,
                Rule::Delete | Rule::Last => is_used,
                Rule::Kill => true,
            };
            is_right_kind && set & (1 << index) != 0
        };
        let (mut meant, mut others): (Vec<_>, Vec<_>) = self.entries.drain(..).partition(is_meant);
        let is_used = !matches!(rule, Rule::Delete);
        meant.iter_mut().for_each(|entry| entry.1 = is_used);
        self.entries = match rule {
            Rule::Kill => others,
            Rule::Delete => {
                meant.append(&mut others);
                meant
            }
            Rule::Add | Rule::Last => {
                others.append(&mut meant);
                others
            }
        };
    }

    fn suites(&self) -> Vec<CipherSuite> {
        let used = self.entries.iter().filter(|(_, is_used)| *is_used).map(|&(index, _)| TLS12[index]);
        used.filter(|(_, _, bits)| *bits >= self.least_bits).map(|(_, suite, _)| suite).collect()
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '=' | '_');
    text.split_at(text.find(|letter| !is_letter(letter)).unwrap_or(text.len()))
}

fn meaning(word: &str) -> Set {
    let name = TLS12.iter().position(|(name, ..)| *name == word).map(|index| 1 << index);
    let kind = WORDS.iter().find(|(kind, _)| *kind == word).map(|(_, set)| *set);
    name.or(kind).unwrap_or(0)
}

/// The suites of TLS 1.3 in OpenSSL's order.
const TLS13: [(&str, CipherSuite, u16); 3] = [
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384, 256),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, 256),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256, 128),
];

/// Known to OpenSSL, and not to rustls.
const OTHER_TLS13: [&str; 2] = ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"];

/// Reads a list of suites of TLS 1.3, as `Ciphersuites` has it. An empty one turns that version off.
///
/// # Errors
/// OpenSSL's words, if there are names and none is known.
pub(super) fn select_tls13(list: &str) -> Result<Vec<CipherSuite>, &'static str> {
    let names: Vec<_> = list.split(':').map(str::trim).filter(|name| !name.is_empty()).collect();
    let known = |name: &&&str| OTHER_TLS13.contains(name) || TLS13.iter().any(|(known, ..)| known == *name);
    if !names.is_empty() && !names.iter().any(|name| known(&name)) {
        return Err(NO_MATCH);
    }
    let mut suites: Vec<CipherSuite> = Vec::new();
    for (_, suite, _) in names.iter().flat_map(|name| TLS13.iter().find(|(known, ..)| known == name)) {
        if !suites.contains(suite) {
            suites.push(*suite);
        }
    }
    Ok(suites)
}

/// All suites of TLS 1.3.
pub(super) fn all_tls13() -> Vec<CipherSuite> {
    TLS13.map(|(_, suite, _)| suite).to_vec()
}

/// Bits of the keys of a suite's cipher.
pub(super) fn bits(suite: CipherSuite) -> u16 {
    TLS12.iter().chain(&TLS13).find(|(_, known, _)| *known == suite).map_or(0, |(_, _, bits)| *bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Known answers of OpenSSL 3.0: E and R stand for ECDSA and RSA, C for ChaCha20.
    const ANSWERS: [(&str, &str); 52] = [
        ("!ARIA128:ECDH:!SHA:+DEFAULT+ECDH:aRSA", "E256 R256 EC RC E128 R128"),
        ("@STRENGTH:ECDH+aRSA,+kECDH", "R256 RC R128"),
        ("ALL", "E256 R256 EC RC E128 R128"),
        ("DEFAULT", "E256 R256 EC RC E128 R128"),
        (DEFAULT, "E256 R256 EC RC E128 R128"),
        ("DEFAULT@SECLEVEL=1", "E256 R256 EC RC E128 R128"),
        ("DEFAULTx", "E256 R256 EC RC E128 R128"),
        ("DEFAULT:-ECDSA", "R256 RC R128"),
        ("TLSv1.2", "E256 R256 EC RC E128 R128"),
        ("ECDHE+AESGCM:ECDHE+CHACHA20", "E256 R256 E128 R128 EC RC"),
        ("EECDH+AESGCM:EDH+AESGCM", "E256 R256 E128 R128"),
        ("EECDH+CHACHA20:EECDH+AES256", "EC RC E256 R256"),
        ("CHACHA20:AESGCM:@STRENGTH", "EC RC E256 R256 E128 R128"),
        ("AES128:CHACHA20:AES256:@STRENGTH", "EC RC E256 R256 E128 R128"),
        ("ALL:@STRENGTH:+aECDSA:@STRENGTH", "R256 RC E256 EC R128 E128"),
        ("AES128,AES256", "E128 R128 E256 R256"),
        ("AES128 AES256", "E128 R128 E256 R256"),
        ("AES128;AES256", "E128 R128 E256 R256"),
        ("AESGCM,!AES256 CHACHA20", "E128 R128 EC RC"),
        ("ALL:-AES128:AES128", "E256 R256 EC RC E128 R128"),
        ("ALL:-ALL:AES128", "E128 R128"),
        ("HIGH:-HIGH:HIGH", "E256 R256 EC RC E128 R128"),
        ("HIGH:-aRSA:-AES128:ALL", "E256 EC E128 R256 RC R128"),
        ("HIGH:-AESGCM:AESGCM+aECDSA", "EC RC E256 E128"),
        ("HIGH!ECDSA", "R256 RC R128"),
        ("HIGH:!ECDSA:ECDSA", "R256 RC R128"),
        ("HIGH:-ECDSA:ECDSA", "R256 RC R128 E256 EC E128"),
        ("HIGH:+AES256", "EC RC E128 R128 E256 R256"),
        ("HIGH:+AES256:+CHACHA20", "E128 R128 E256 R256 EC RC"),
        ("AES128:+ECDHE", "E128 R128"),
        ("aRSA+AESGCM:HIGH", "R256 R128 E256 EC RC E128"),
        ("FOO+AES:AES128", "E128 R128"),
        ("AES+FOO:AES128", "E128 R128"),
        ("AES:FOO/BAR:CHACHA20", "E256 R256 E128 R128 EC RC"),
        ("ECDSA+HIGH", "E256 EC E128"),
        ("TLSv1.2+aRSA", "R256 RC R128"),
        ("kECDHE:!ADH", "E256 R256 EC RC E128 R128"),
        ("kEECDH+aECDSA+AES", "E256 E128"),
        ("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305", "R128 EC"),
        ("ECDHE-RSA-AES128-GCM-SHA256+HIGH", "R128"),
        ("AES256-SHA:AES128", "E128 R128"),
        ("COMPLEMENTOFALL:AES", "E256 R256 E128 R128"),
        ("ALL:!eNULL:!EXPORT", "E256 R256 EC RC E128 R128"),
        ("FIPS", "E256 R256 E128 R128"),
        ("AES@STRENGTH", "E256 R256 E128 R128"),
        ("AES: @STRENGTH", "E256 R256 E128 R128"),
        ("ALL:@SECLEVEL=3", "E256 R256 EC RC E128 R128"),
        ("ALL:@SECLEVEL=4", "E256 R256 EC RC"),
        ("ALL:@SECLEVEL=5", "E256 R256 EC RC"),
        ("SUITEB128:HIGH", "E128 E256"),
        ("SUITEB192", "E256"),
        ("SUITEB128C2", "E256"),
    ];

    fn short(suite: CipherSuite) -> String {
        let (name, ..) = TLS12.iter().find(|(_, known, _)| *known == suite).expect("a suite of TLS 1.2");
        let signature = if name.contains("ECDSA") { "E" } else { "R" };
        let cipher = ["256", "128"].into_iter().find(|bits| name.contains(&format!("AES{bits}")));
        format!("{signature}{}", cipher.unwrap_or("C"))
    }

    #[test]
    fn known_answers_of_openssl() {
        for (string, expected) in ANSWERS {
            let suites = select(string).expect(string).suites;
            let found: Vec<_> = suites.into_iter().map(short).collect();
            assert_eq!(found.join(" "), expected, "{string}");
        }
    }

    proptest! {
        #[test]
        fn any_string_chooses_each_suite_once(
            string in "([A-Za-z0-9:!+@,; =._\u{e4}-]|AES|ALL|aRSA|ECDSA){0,30}",
        ) {
            if let Ok(Selection { suites, .. }) = select(&string) {
                let names: std::collections::BTreeSet<_> = suites.iter().map(|&suite| short(suite)).collect();
                prop_assert!(!suites.is_empty() && names.len() == suites.len(), "{:?}", suites);
            }
        }
    }

    #[test]
    fn strings_that_choose_nothing() {
        for string in [
            "",
            ":",
            "FOO",
            "high",
            "!HIGH",
            "!DEFAULT",
            "TLS_AES_128_GCM_SHA256",
            "PROFILE=SYSTEM",
            "RSA",
            "kRSA",
            "RSA+AES",
            "AES256-SHA",
            "SHA256",
            "SHA384",
            "AESCCM",
            "PSK",
            "MEDIUM",
            "LOW",
            "TLSv1",
            "SSLv3",
            "kECDH",
            "COMPLEMENTOFDEFAULT",
            "AES128-GCM-SHA256",
            "@STRENGTH",
            "HIGH:!ALL",
            "AES128:@SECLEVEL=4",
        ] {
            assert_eq!(select(string), Err(NO_MATCH), "{string}");
        }
    }

    #[test]
    fn strings_that_make_no_sense() {
        for string in [
            "@FOO",
            "HIGH@SECLEVEL=9",
            "HIGH:@SECLEVEL=9",
            "AES:@SECLEVEL=x",
            "AES:@SECLEVEL=22",
            "AES:@STRENGTHX",
            "ECDHE+",
            "+",
            "!",
            "AES:!",
            "AES/FOO:CHACHA20",
            "AES'x:CHACHA20",
            "\u{e4}",
            "ALL:\u{e4}",
        ] {
            assert_eq!(select(string), Err(INVALID_COMMAND), "{string}");
        }
    }

    #[test]
    fn suites_of_tls_13() {
        let names = |list: &str| {
            let suites = select_tls13(list)?;
            let name = |suite| TLS13.iter().find(|(_, known, _)| *known == suite).expect("a suite").0;
            Ok::<_, &str>(suites.into_iter().map(name).collect::<Vec<_>>())
        };
        const CHACHA20: &str = "TLS_CHACHA20_POLY1305_SHA256";
        const AES128: &str = "TLS_AES_128_GCM_SHA256";
        assert_eq!(names(&format!(" {CHACHA20} : {AES128}:FOO:")), Ok(vec![CHACHA20, AES128]));
        assert_eq!(names(&format!("{AES128}:{AES128}")), Ok(vec![AES128]));
        assert_eq!(names(""), Ok(vec![]));
        assert_eq!(names("TLS_AES_128_CCM_SHA256"), Ok(vec![]));
        for wrong in
            ["FOO", "tls_aes_128_gcm_sha256", "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384", "HIGH"]
        {
            assert_eq!(names(wrong), Err(NO_MATCH), "{wrong}");
        }
    }
}
