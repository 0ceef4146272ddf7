//! Amounts of resources by name.

use std::collections::BTreeMap;

use meta::quantity::Quantity;

/// Amounts by name.
pub type Usage = BTreeMap<String, Quantity>;

/// Adds an amount as the API writes it; one that is none adds nothing (validation refused it before).
pub fn add(usage: &mut Usage, name: &str, amount: &str) {
    if let Ok(amount) = Quantity::parse(amount) {
        sum(usage, name, &amount);
    }
}

/// Adds an amount.
pub fn sum(usage: &mut Usage, name: &str, amount: &Quantity) {
    match usage.get_mut(name) {
        Some(known) => known.add(amount),
        None => {
            usage.insert(name.to_owned(), amount.clone());
        }
    }
}

/// Adds all of another's amounts.
pub fn merge(usage: &mut Usage, other: Usage) {
    for (name, amount) in other {
        sum(usage, &name, &amount);
    }
}

/// Whether one amount is more than another.
pub fn exceeds(amount: &Quantity, limit: &Quantity) -> bool {
    let mut rest = amount.clone();
    rest.sub(limit);
    rest.sign() > 0
}

/// Raises amounts to another's where those are more.
pub fn raise(usage: &mut Usage, other: Usage) {
    for (name, amount) in other {
        if usage.get(&name).is_none_or(|known| exceeds(&amount, known)) {
            usage.insert(name, amount);
        }
    }
}

/// `a=1,b=2`, in order of names.
pub fn print(usage: &Usage) -> String {
    let parts: Vec<String> = usage.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    parts.join(",")
}
