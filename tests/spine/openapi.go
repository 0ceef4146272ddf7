package main

import (
	"encoding/json"
	"fmt"
	"reflect"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// openapi asks for OpenAPI 2 in both forms and says whether they are one document.
func openapi(args []string) {
	client := must(kubernetes.NewForConfig(config(args[0]))).RESTClient()
	var found [2]any
	for i, accept := range []string{"application/json", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"} {
		result := client.Get().AbsPath("/openapi/v2").SetHeader("Accept", accept).Do(ctx)
		var kind string
		result.ContentType(&kind)
		raw := must(result.Raw())
		document := &openapi_v2.Document{}
		if i == 0 {
			document = must(openapi_v2.ParseDocument(raw))
		} else {
			check(proto.Unmarshal(raw, document))
		}
		check(json.Unmarshal(must(protojson.Marshal(document)), &found[i]))
		found[i] = plain(found[i])
		fmt.Println("openapi v2 as", accept, "->", kind)
	}
	fmt.Println("openapi v2: one document", reflect.DeepEqual(found[0], found[1]))
	code := 0
	client.Get().AbsPath("/openapi/v2").SetHeader("Accept", "text/plain").Do(ctx).StatusCode(&code)
	fmt.Println("openapi v2 as text/plain ->", code)
}

// plain reads the YAML of extensions and defaults, whose text may differ.
func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			v[name] = plain(inner)
			if text, ok := inner.(string); ok && name == "yaml" {
				var read any
				check(yaml.Unmarshal([]byte(text), &read))
				v[name] = read
			}
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return value
}
