//! What no comparison with upstream's server can show: values that its own checks refuse, and which only objects
//! stored by older servers have.

use super::*;

fn told(check: impl Fn(&mut Warnings)) -> Warnings {
    let mut warnings = Warnings::new();
    check(&mut warnings);
    warnings
}

#[test]
fn addresses_of_older_servers() {
    for (value, wanted) in [
        ("10.0.0.1", None),
        ("2001:db8::1", None),
        ("not an address", None),
        ("", None),
        ("010.0.0.1", Some(r#"x: non-standard IP address "010.0.0.1" is invalid: use "10.0.0.1""#)),
        (
            "::ffff:10.0.0.1",
            Some(r#"x: non-standard IP address "::ffff:10.0.0.1" is invalid: use "10.0.0.1""#),
        ),
        (
            "2001:DB8:0::1",
            Some(r#"x: IPv6 address "2001:DB8:0::1" should be in RFC 5952 canonical format ("2001:db8::1")"#),
        ),
    ] {
        let found = told(|w| address::ip(w, format_args!("x"), value));
        assert_eq!(found.first().map(String::as_str), wanted, "{value}");
        assert!(found.len() < 2, "{value}");
    }
}

#[test]
fn ranges_of_older_servers() {
    let ambiguous = |value: &str, range: &str, single: &str| {
        format!("x: CIDR value {value:?} is ambiguous in this context (should be {range:?} or {single:?}?)")
    };
    let invalid =
        |value: &str, range: &str| format!("x: non-standard CIDR value {value:?} is invalid: use {range:?}");
    let cases = [
        ("10.0.0.0/8", vec![]),
        ("::/0", vec![]),
        ("10.0.0.0", vec![]),
        ("10.1.0.0/8", vec![ambiguous("10.1.0.0/8", "10.0.0.0/8", "10.1.0.0/32")]),
        ("10.0.0.0/08", vec![invalid("10.0.0.0/08", "10.0.0.0/8")]),
        (
            "010.1.0.0/8",
            vec![
                ambiguous("010.1.0.0/8", "10.0.0.0/8", "10.1.0.0/32"),
                invalid("010.1.0.0/8", "10.0.0.0/8"),
            ],
        ),
        ("::ffff:10.0.0.0/104", vec![invalid("::ffff:10.0.0.0/104", "10.0.0.0/8")]),
        ("2001:db8::1/64", vec![ambiguous("2001:db8::1/64", "2001:db8::/64", "2001:db8::1/128")]),
        (
            "2001:DB8::/32",
            vec![
                r#"x: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format ("2001:db8::/32")"#
                    .to_owned(),
            ],
        ),
    ];
    for (value, wanted) in cases {
        assert_eq!(told(|w| address::cidr(w, format_args!("x"), value)), wanted, "{value}");
    }
}

#[test]
fn names_are_known_again() {
    let names: Vec<String> = (0..20).map(|i| format!("n{i}")).collect();
    let mut seen = Seen::default();
    assert!(names.iter().all(|name| !seen.again(name.as_str())));
    assert!(names.iter().all(|name| seen.again(name.as_str())));
}

fn object(text: &str) -> Object {
    match crate::tree::from_json(serde_json::from_str(text).expect("a JSON text")) {
        schema::Value::Map(root) => Object::new(root),
        other => panic!("{other:?} is no object"),
    }
}

/// Schedules with a time zone are refused by now; old ones may stay.
#[test]
fn schedules_of_older_servers() {
    let old = object(r#"{"kind":"CronJob","metadata":{"name":"c"},"spec":{"schedule":"TZ=UTC 0 * * * *"}}"#);
    assert!(cron_job(&old, None).is_empty());
    let told = cron_job(&old, Some(&old));
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead"));
}

/// New slices with such addresses are refused by now.
#[test]
fn slices_of_older_servers() {
    let slice = |label: &str| {
        object(&format!(
            r#"{{"kind":"EndpointSlice","metadata":{{"labels":{{"endpointslice.kubernetes.io/managed-by":"{label}"}}}},
                "addressType":"IPv4","endpoints":[{{}},{{"addresses":["10.0.0.1","010.0.0.1"]}}]}}"#
        ))
    };
    assert!(endpoint_slice(&slice("endpointslice-controller.k8s.io"), None).is_empty());
    assert!(endpoint_slice(&slice("endpointslicemirroring-controller.k8s.io"), None).is_empty());
    let by_hand = slice("somebody");
    assert_eq!(
        endpoint_slice(&by_hand, Some(&by_hand)),
        [r#"endpoints[1].addresses[1]: non-standard IP address "010.0.0.1" is invalid: use "10.0.0.1""#]
    );
}

/// The comparison's server serves what is defined, which this one does not yet: it can be shown new definitions alone.
#[test]
fn formats_that_were_there_before() {
    let definition_with = |formats: &[&str]| {
        let properties: Vec<String> =
            formats.iter().map(|f| format!(r#""{f}":{{"type":"string","format":"{f}"}}"#)).collect();
        object(&format!(
            r#"{{"spec":{{"versions":[{{"schema":{{"openAPIV3Schema":{{"properties":{{{}}}}}}}}}]}}}}"#,
            properties.join(",")
        ))
    };
    let (old, new) = (definition_with(&["date", "foo"]), definition_with(&["date-time", "foo", "bar"]));
    assert_eq!(definition(&old, None), [r#"unrecognized format "foo""#]);
    assert!(definition(&old, Some(&old)).is_empty());
    assert_eq!(definition(&new, Some(&old)), [r#"unrecognized format "bar""#]);
}
