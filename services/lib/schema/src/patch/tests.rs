//! Texts and results as json-patch.v4 gives them.

use super::{json_patch, merge_patch};
use crate::Value;
use crate::json::{encode_generic, generic};

fn read(text: &str) -> Value {
    generic(text.as_bytes()).unwrap().0
}

fn show(value: &Value) -> String {
    let mut out = Vec::new();
    encode_generic(value, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn json_patches() {
    let doc = r#"{"a":{"b":[1,2],"x/y":"s","~":0},"n":null}"#;
    let invalid = "Unable to access invalid index: 5: invalid index referenced";
    let cases: &[(&str, Result<&str, String>)] = &[
        (r#"[{"op":"add","path":"/a/b/-","value":3}]"#, Ok(r#"{"a":{"b":[1,2,3],"x/y":"s","~":0},"n":null}"#)),
        (r#"[{"op":"add","path":"/a/b/-1","value":3}]"#, Ok(r#"{"a":{"b":[1,2,3],"x/y":"s","~":0},"n":null}"#)),
        (r#"[{"op":"remove","path":"/a/b/-1"}]"#, Ok(r#"{"a":{"b":[1],"x/y":"s","~":0},"n":null}"#)),
        (r#"[{"op":"replace","path":"/a/x~1y","value":{"z":1}}]"#, Ok(r#"{"a":{"b":[1,2],"x/y":{"z":1},"~":0},"n":null}"#)),
        (r#"[{"op":"replace","path":"/new","value":1}]"#, Ok(r#"{"a":{"b":[1,2],"x/y":"s","~":0},"n":null,"new":1}"#)),
        (r#"[{"op":"move","from":"/a/b/0","path":"/a/~0"}]"#, Ok(r#"{"a":{"b":[2],"x/y":"s","~":1},"n":null}"#)),
        (r#"[{"op":"copy","from":"/a/b","path":"/n"}]"#, Ok(r#"{"a":{"b":[1,2],"x/y":"s","~":0},"n":[1,2]}"#)),
        (r#"[{"op":"test","path":"/a","value":{"~":0,"x/y":"s","b":[1,2]}},{"op":"test","path":"/gone"}]"#, Ok(doc)),
        (r#"[{"op":"test","path":"/a/b","value":[2,1]}]"#, Err("testing value /a/b failed: test failed".into())),
        (r#"[{"op":"add","path":"/q/r","value":1}]"#, Err("add operation does not apply: doc is missing path: \"/q/r\": missing value".into())),
        (r#"[{"op":"add","path":"/a/b/5","value":1}]"#, Err(format!("error in add for path: '/a/b/5': {invalid}"))),
        (r#"[{"op":"remove","path":"/a/c"}]"#, Err("error in remove for path: '/a/c': Unable to remove nonexistent key: c: missing value".into())),
        (r#"[{"op":"remove","path":"/a/b/x"}]"#, Err("error in remove for path: '/a/b/x': strconv.Atoi: parsing \"x\": invalid syntax".into())),
        (r#"[{"op":"replace","path":"/a/b/5","value":1}]"#, Err("replace operation does not apply: doc is missing key: /a/b/5: missing value".into())),
        (r#"[{"op":"swap","path":"/a"}]"#, Err("Unexpected kind: swap".into())),
        (r#"{"op":"add"}"#, Err("error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp".into())),
    ];
    for (patch, expected) in cases {
        let mut tree = read(doc);
        let result = json_patch(&mut tree, &read(patch)).map_err(|e| e.to_string()).map(|_| show(&tree));
        assert_eq!(result, expected.clone().map(|text| show(&read(text))), "{patch}");
    }
    let problems = json_patch(&mut read("{}"), &read(r#"[{"op":"add","path":"/a","value":1,"foo":2}]"#));
    assert_eq!(problems.unwrap(), [r#"json patch unknown field "[0].foo""#]);
}

#[test]
fn limits() {
    let many = format!("[{}]", vec![r#"{"op":"test","path":"/a"}"#; 10_001].join(","));
    let error = json_patch(&mut read("{}"), &read(&many)).unwrap_err();
    assert_eq!(error.to_string(), "The allowed maximum operations in a JSON patch is 10000, got 10001");
    let doubling = format!("[{}]", vec![r#"{"op":"copy","from":"/a","path":"/a/-"}"#; 30].join(","));
    let error = json_patch(&mut read(r#"{"a":["0123456789"]}"#), &read(&doubling)).unwrap_err().to_string();
    assert!(
        error.starts_with("Unable to complete the copy, the accumulated size increase of copy is "),
        "{error}"
    );
}

#[test]
fn merge_patches() {
    let cases = [
        (r#"{"a":1,"b":{"c":2,"d":3}}"#, r#"{"a":null,"b":{"c":4}}"#, r#"{"b":{"c":4,"d":3}}"#),
        (r#"{"a":[1]}"#, r#"{"a":{"x":null,"y":1}}"#, r#"{"a":{"y":1}}"#),
        ("{}", r#"{"a":[null,{"b":null}]}"#, r#"{"a":[null,{}]}"#),
        (r#"{"a":null}"#, "{}", r#"{"a":null}"#),
    ];
    for (doc, patch, expected) in cases {
        let mut tree = read(doc);
        merge_patch(tree.as_map_mut().unwrap(), &read(patch)).unwrap();
        assert_eq!(show(&tree), expected, "{patch}");
    }
    assert_eq!(
        merge_patch(&mut crate::Map::new(), &read("[]")).unwrap_err().to_string(),
        "json: cannot unmarshal array into Go value of type map[string]interface {}"
    );
}
