//! Whether some rules hold all that others grant: nobody may give what they have not.
//!
//! # Upstream
//! `k8s.io/component-helpers/auth/rbac/validation/policy_comparator.go` `Covers`,
//! `pkg/registry/rbac/validation/policy_compact.go`, `pkg/apis/rbac/v1/helpers.go` `CompactString`

use std::collections::BTreeMap;

use super::PolicyRule;
use super::rule::path_matches;

/// What `wanted` grants and `held` does not, rule by atomic rule; empty when all is covered.
pub fn covers(held: &[&PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let atoms = wanted.iter().flat_map(atoms);
    atoms.filter(|atom| !held.iter().any(|rule| holds(rule, atom))).collect()
}

/// A rule as rules with one verb, one resource and at most one name each.
fn atoms(rule: &PolicyRule) -> Vec<PolicyRule> {
    let mut all = Vec::new();
    for verb in &rule.verbs {
        let verbs = vec![verb.clone()];
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let atom = PolicyRule {
                    verbs: verbs.clone(),
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    all.push(atom);
                    continue;
                }
                let named = |name: &String| PolicyRule { resource_names: vec![name.clone()], ..atom.clone() };
                all.extend(rule.resource_names.iter().map(named));
            }
        }
        let path = |url: &String| PolicyRule {
            verbs: verbs.clone(),
            non_resource_urls: vec![url.clone()],
            ..PolicyRule::default()
        };
        all.extend(rule.non_resource_urls.iter().map(path));
    }
    all
}

fn holds(rule: &PolicyRule, atom: &PolicyRule) -> bool {
    let all = |set: &[String], wanted: &[String]| wanted.iter().all(|w| set.contains(w));
    let star = |set: &[String]| set.iter().any(|s| s == "*");
    let resource = |wanted: &String| {
        rule.resources.contains(wanted)
            || wanted.split_once('/').is_some_and(|(_, sub)| rule.resources.contains(&format!("*/{sub}")))
    };
    (star(&rule.verbs) || all(&rule.verbs, &atom.verbs))
        && (star(&rule.api_groups) || all(&rule.api_groups, &atom.api_groups))
        && (star(&rule.resources) || atom.resources.iter().all(resource))
        && (rule.resource_names.is_empty()
            || (!atom.resource_names.is_empty() && all(&rule.resource_names, &atom.resource_names)))
        && atom
            .non_resource_urls
            .iter()
            .all(|url| rule.non_resource_urls.iter().any(|r| path_matches(r, url)))
}

/// Atomic rules for people: verbs of the same resource joined, one line each, sorted.
pub fn compact(rules: &[PolicyRule]) -> Vec<String> {
    let mut joined: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for rule in rules {
        let list = |label: &str, values: &[String]| {
            let quoted: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
            if values.is_empty() { String::new() } else { format!(", {label}:[{}]", quoted.join(" ")) }
        };
        let what = [
            list("APIGroups", &rule.api_groups),
            list("Resources", &rule.resources),
            list("ResourceNames", &rule.resource_names),
            list("NonResourceURLs", &rule.non_resource_urls),
        ];
        let key = what.concat().trim_start_matches(", ").to_owned();
        joined.entry(key).or_default().extend(rule.verbs.iter().map(String::as_str));
    }
    let line = |(what, verbs): (String, Vec<&str>)| {
        let quoted: Vec<String> = verbs.iter().map(|v| format!("{v:?}")).collect();
        format!("{{{what}, Verbs:[{}]}}", quoted.join(" "))
    };
    joined.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], resources: &[&str]) -> PolicyRule {
        let own = |s: &[&str]| s.iter().map(|s| (*s).to_owned()).collect();
        PolicyRule {
            verbs: own(verbs),
            api_groups: vec!["".into()],
            resources: own(resources),
            ..PolicyRule::default()
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let held = [rule(&["get", "list"], &["pods"]), rule(&["*"], &["*/log"])];
        let held: Vec<&PolicyRule> = held.iter().collect();
        assert!(covers(&held, &[rule(&["get"], &["pods", "pods/log"])]).is_empty());
        let missing = covers(&held, &[rule(&["get", "delete", "watch"], &["pods"])]);
        assert_eq!(compact(&missing), [r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}"#]);
    }
}
