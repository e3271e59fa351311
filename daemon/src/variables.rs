//! `env`: which variables of the environment workers keep (spec/config.md section 6).

use std::ffi::OsString;

/// Variables by name, each with the value it gets; `None` where the one it has is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variables(Vec<(String, Option<String>)>);

impl Variables {
    /// Those listed, and `TZ`, which log lines need. Of equal names the first counts.
    pub(crate) fn new(listed: Vec<(String, Option<String>)>) -> Self {
        let mut variables = Vec::<(String, Option<String>)>::new();
        for (name, value) in listed.into_iter().chain([("TZ".to_owned(), None)]) {
            if !variables.iter().any(|(known, _)| *known == name) {
                variables.push((name, value));
            }
        }
        Self(variables)
    }

    /// What they come to in this process. One that is not set here is left out.
    pub(crate) fn select(&self) -> Vec<(OsString, OsString)> {
        let value = |(name, value): &(String, Option<String>)| match value {
            Some(value) => Some((name.into(), value.into())),
            None => std::env::var_os(name).map(|value| (name.into(), value)),
        };
        self.0.iter().filter_map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_variables_and_the_time_zone_are_kept() {
        let path = std::env::var_os("PATH").expect("tests run with a PATH");
        let given = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let kept = |name: &str| (name.to_owned(), None);
        let listed = vec![
            given("A", "1"),
            kept("PATH"),
            kept("NOT_SET_ANYWHERE"),
            given("TZ", "UTC"),
            given("A", "2"),
        ];
        let expected = [("A".into(), "1".into()), ("PATH".into(), path), ("TZ".into(), "UTC".into())];
        assert_eq!(Variables::new(listed).select(), expected);
        assert_eq!(Variables::new(Vec::new()), Variables(vec![kept("TZ")]));
        let zone = std::env::var_os("TZ").map(|zone| ("TZ".into(), zone));
        assert_eq!(Variables::new(Vec::new()).select(), Vec::from_iter(zone));
    }
}
