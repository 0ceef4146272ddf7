//! Files of at most 500 lines, functions of at most 70.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::tree;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

struct Functions {
    file: String,
    path: Vec<String>,
    over: BTreeMap<String, usize>,
}

impl Functions {
    fn measure(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = block.span().end().line - block.span().start().line + 1;
        if lines > FUNCTION_LINES {
            let path = [&self.path[..], &[name.to_string()]].concat().join("::");
            self.over.insert(format!("{} fn {path}", self.file), lines);
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, f: &'ast syn::ItemFn) {
        self.measure(&f.sig.ident, &f.block);
        visit::visit_item_fn(self, f);
    }

    fn visit_impl_item_fn(&mut self, f: &'ast syn::ImplItemFn) {
        self.measure(&f.sig.ident, &f.block);
        visit::visit_impl_item_fn(self, f);
    }

    fn visit_item_impl(&mut self, i: &'ast syn::ItemImpl) {
        let name = match &*i.self_ty {
            syn::Type::Path(p) => p.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default(),
            _ => String::new(),
        };
        self.path.push(name);
        visit::visit_item_impl(self, i);
        self.path.pop();
    }

    fn visit_item_mod(&mut self, m: &'ast syn::ItemMod) {
        if m.ident != "tests" {
            visit::visit_item_mod(self, m);
        }
    }
}

fn over_budget() -> BTreeMap<String, usize> {
    let mut over = BTreeMap::new();
    for (name, text) in tree::sources() {
        // unit tests at the end of a file do not count
        let lines = text.lines().take_while(|l| !l.starts_with("#[cfg(test)]")).count();
        // a table that a generator writes is as long as what it is of
        let generated = text.lines().take(3).any(|l| l.starts_with("//!") && l.contains("Written by `gen/"));
        if lines > FILE_LINES && !generated {
            over.insert(format!("{name} file"), lines);
        }
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut functions = Functions { file: name, path: Vec::new(), over: BTreeMap::new() };
        functions.visit_file(&parsed);
        over.extend(functions.over);
    }
    over
}

#[test]
fn sizes_stay_in_budget() {
    let list = tree::root().join("tests/tidy/over-budget.txt");
    let text = std::fs::read_to_string(&list).expect("over-budget.txt");
    let allowed: BTreeMap<String, usize> = text
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
        .map(|l| {
            l.split_once('\t')
                .map(|(n, what)| (what.to_owned(), n.parse().expect("a number")))
                .expect("a tab")
        })
        .collect();
    let now = over_budget();
    let mut wrong = Vec::new();
    for (what, lines) in &now {
        match allowed.get(what) {
            None => wrong.push(format!("{lines}\t{what}  (over budget, not listed)")),
            Some(most) if lines > most => wrong.push(format!("{lines}\t{what}  (has grown from {most})")),
            Some(most) if lines < most => {
                wrong.push(format!("{lines}\t{what}  (has shrunk from {most}: lower it)"))
            }
            Some(_) => {}
        }
    }
    let gone = allowed.keys().filter(|what| !now.contains_key(*what));
    wrong.extend(gone.map(|what| format!("{what}  (fits now: take it out)")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
