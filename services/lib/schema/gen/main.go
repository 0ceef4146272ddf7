// Command schema-gen writes the compact table of the API: types with their fields as Go, protobuf, OpenAPI and
// discovery describe them. Facts only. Run by hand when the Kubernetes version changes:
//
//	go run . DIR > ../src/table/types.txt
//	go run . -resources DIR > ../src/table/resources.txt
//
// DIR is the directory of the k8s.io/kubernetes module of the same version.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// Definition is what swagger adds to a type.
type Definition struct {
	Required   []string            `json:"required"`
	Properties map[string]Property `json:"properties"`
	GVK        []map[string]string `json:"x-kubernetes-group-version-kind"`
	Unions     []any               `json:"x-kubernetes-unions"`
	MapType    string              `json:"x-kubernetes-map-type"`
}

// Property is what swagger adds to a field.
type Property struct {
	Default  any      `json:"default"`
	Enum     []string `json:"enum"`
	Format   string   `json:"format"`
	ListType string   `json:"x-kubernetes-list-type"`
	ListKeys []string `json:"x-kubernetes-list-map-keys"`
	MapType  string   `json:"x-kubernetes-map-type"`
}

// Special types: one letter each, with hand-written codecs.
var special = map[string]string{
	"io.k8s.apimachinery.pkg.apis.meta.v1.Time":         "t",
	"io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime":    "m",
	"io.k8s.apimachinery.pkg.apis.meta.v1.Duration":     "d",
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1":     "F",
	"io.k8s.apimachinery.pkg.apis.meta.v1.Verbs":        "L",
	"io.k8s.apimachinery.pkg.api.resource.Quantity":     "q",
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString":   "I",
	"io.k8s.apimachinery.pkg.runtime.RawExtension":      "R",
	"io.k8s.api.authentication.v1.ExtraValue":           "L",
	"io.k8s.api.authentication.v1beta1.ExtraValue":      "L",
	"io.k8s.api.authentication.v1alpha1.ExtraValue":     "L",
	"io.k8s.api.authorization.v1.ExtraValue":            "L",
	"io.k8s.api.authorization.v1beta1.ExtraValue":       "L",
	"io.k8s.api.certificates.v1.ExtraValue":             "L",
	"io.k8s.api.certificates.v1beta1.ExtraValue":        "L",
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON":                          "J",
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray":       "A",
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool":        "B",
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "S",
}

// name gives a type its OpenAPI name.
func name(t reflect.Type) string {
	path := t.PkgPath()
	path = strings.Replace(path, "k8s.io/", "io.k8s.", 1)
	return strings.ReplaceAll(path, "/", ".") + "." + t.Name()
}

type walker struct {
	defs map[string]Definition
	seen map[string]reflect.Type
	todo []reflect.Type
}

// expr writes a type as a short expression.
func (w *walker) expr(t reflect.Type) string {
	if t.Name() != "" && t.PkgPath() != "" {
		if s, ok := special[name(t)]; ok {
			return s
		}
	}
	switch t.Kind() {
	case reflect.String:
		return "s"
	case reflect.Bool:
		return "b"
	case reflect.Int32, reflect.Uint32:
		return "i"
	case reflect.Int64, reflect.Int, reflect.Uint64:
		return "l"
	case reflect.Float64, reflect.Float32:
		return "f"
	case reflect.Uint8:
		return "u"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "y"
		}
		return "[" + w.elem(t.Elem())
	case reflect.Map:
		return "{" + w.elem(t.Elem())
	case reflect.Struct:
		w.add(t)
		return "@" + name(t)
	case reflect.Interface:
		return "R"
	}
	panic(fmt.Sprintf("no expression for %v", t))
}

func (w *walker) elem(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return w.expr(t)
}

func (w *walker) add(t reflect.Type) {
	n := name(t)
	if _, ok := w.seen[n]; !ok {
		w.seen[n] = t
		w.todo = append(w.todo, t)
	}
}

func (w *walker) field(f reflect.StructField, d Definition) string {
	parts := strings.Split(f.Tag.Get("json"), ",")
	if parts[0] == "-" {
		return ""
	}
	t, flags := f.Type, ""
	if t.Kind() == reflect.Pointer {
		t, flags = t.Elem(), "p"
	}
	inline := parts[0] == "" && f.Anonymous
	for _, p := range parts[1:] {
		switch p {
		case "omitempty":
			flags += "o"
		case "omitzero":
			flags += "z"
		case "inline":
			inline = true
		}
	}
	if inline {
		flags += "i"
	}
	number := "0"
	if p := strings.Split(f.Tag.Get("protobuf"), ","); len(p) > 1 {
		number = p[1]
	}
	jsonName := parts[0]
	if jsonName == "" && !inline {
		jsonName = f.Name
	}
	extra := w.extra(jsonName, f, d)
	if flags == "" {
		flags = "-"
	}
	if jsonName == "" {
		jsonName = "-"
	}
	return strings.TrimRight(strings.Join([]string{" " + jsonName, flags, number, w.expr(t), extra}, " "), " ")
}

func (w *walker) extra(jsonName string, f reflect.StructField, d Definition) string {
	var out []string
	for _, r := range d.Required {
		if r == jsonName {
			out = append(out, "r")
		}
	}
	p := d.Properties[jsonName]
	if p.Default != nil {
		b, _ := json.Marshal(p.Default)
		out = append(out, "d="+string(b))
	}
	if p.ListType != "" {
		out = append(out, "l="+p.ListType)
	}
	if len(p.ListKeys) > 0 {
		out = append(out, "k="+strings.Join(p.ListKeys, ","))
	}
	if p.MapType != "" {
		out = append(out, "m="+p.MapType)
	}
	if s := f.Tag.Get("patchStrategy"); s != "" {
		out = append(out, "s="+s)
	}
	if s := f.Tag.Get("patchMergeKey"); s != "" {
		out = append(out, "g="+s)
	}
	if len(p.Enum) > 0 {
		out = append(out, "e="+strings.Join(p.Enum, "|"))
	}
	if p.Format != "" && p.Format != "int32" && p.Format != "int64" && p.Format != "double" {
		out = append(out, "f="+p.Format)
	}
	return strings.Join(out, " ")
}

func (w *walker) write(out *bufio.Writer) {
	for len(w.todo) > 0 {
		next := w.todo
		w.todo = nil
		for _, t := range next {
			for i := 0; i < t.NumField(); i++ {
				if t.Field(i).IsExported() {
					w.field(t.Field(i), w.defs[name(t)])
				}
			}
		}
	}
	names := make([]string, 0, len(w.seen))
	for n := range w.seen {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		head, d := n, w.defs[n]
		if d.MapType != "" {
			head += " m=" + d.MapType
		}
		if len(d.Unions) > 0 {
			b, _ := json.Marshal(d.Unions)
			head += " U=" + string(b)
		}
		fmt.Fprintln(out, head)
		t := w.seen[n]
		for i := 0; i < t.NumField(); i++ {
			if t.Field(i).IsExported() {
				if line := w.field(t.Field(i), d); line != "" {
					fmt.Fprintln(out, line)
				}
			}
		}
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// defaults takes the fields' defaults from the v3 documents: swagger leaves them out.
func defaults(dir string, defs map[string]Definition) {
	files, err := filepath.Glob(filepath.Join(dir, "api/openapi-spec/v3/*.json"))
	must(err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(err)
		var doc struct {
			Components struct {
				Schemas map[string]Definition `json:"schemas"`
			} `json:"components"`
		}
		must(json.Unmarshal(raw, &doc))
		for name, d := range doc.Components.Schemas {
			for field, p := range d.Properties {
				if m, ok := p.Default.(map[string]any); p.Default == nil || p.Default == "" || ok && len(m) == 0 {
					continue // what Go's zero value says anyway
				}
				if own, ok := defs[name].Properties[field]; ok {
					own.Default = p.Default
					defs[name].Properties[field] = own
				}
			}
		}
	}
}

func types(dir string, out *bufio.Writer) {
	raw, err := os.ReadFile(filepath.Join(dir, "api/openapi-spec/swagger.json"))
	must(err)
	var swagger struct {
		Definitions map[string]Definition `json:"definitions"`
	}
	must(json.Unmarshal(raw, &swagger))
	defaults(dir, swagger.Definitions)
	s := runtime.NewScheme()
	must(scheme.AddToScheme(s))
	must(apiextensionsv1.AddToScheme(s))
	must(apiregistrationv1.AddToScheme(s))
	w := &walker{defs: swagger.Definitions, seen: map[string]reflect.Type{}}
	for gvk, t := range s.AllKnownTypes() {
		if gvk.Version != runtime.APIVersionInternal {
			w.add(t)
		}
	}
	for _, v := range []any{metav1.APIVersions{}, metav1.APIGroupList{}, metav1.APIGroup{}, metav1.APIResourceList{}, metav1.Table{},
		metav1.PartialObjectMetadata{}, metav1.PartialObjectMetadataList{}, metav1.List{}, apidiscoveryv2.APIGroupDiscoveryList{}} {
		w.add(reflect.TypeOf(v))
	}
	w.write(out)
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	if os.Args[1] == "-resources" {
		resources(os.Args[2], out)
		return
	}
	types(os.Args[1], out)
}
