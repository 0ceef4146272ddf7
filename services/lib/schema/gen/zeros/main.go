// Command zeros writes how Go encodes objects in which nothing is set, and objects in which everything is set to its
// zero value: one line a kind and form, with what was read, what is written in JSON and protobuf, and what protobuf
// reads back as. Facts for the tests; run by hand when the Kubernetes version changes:
//
//	go run ./zeros | gzip -9n > ../goldens/zeros.jsonl.gz
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"sort"
	"strings"

	extinstall "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	regv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

type line struct {
	Form  string `json:"form"`
	Kind  string `json:"kind"`
	In    string `json:"in"`
	JSON  string `json:"json"`
	Proto []byte `json:"proto"`
	Back  string `json:"back"`
}

// leaves are not looked into: they have encodings of their own.
var leaves = map[reflect.Type]bool{
	reflect.TypeFor[metav1.Time]():               true,
	reflect.TypeFor[metav1.MicroTime]():          true,
	reflect.TypeFor[resource.Quantity]():         true,
	reflect.TypeFor[runtime.RawExtension]():      true,
	reflect.TypeFor[metav1.FieldsV1]():           true,
	reflect.TypeFor[extinstall.JSON]():           true,
	reflect.TypeFor[metav1.TypeMeta]():           true,
	reflect.TypeFor[metav1.ManagedFieldsEntry](): true,
}

// fill sets what can be unset: pointers to zero values; lists and maps to one zero entry, or to empty ones.
func fill(v reflect.Value, entries bool, seen map[reflect.Type]int) {
	t := v.Type()
	if leaves[t] || seen[t] > 1 {
		return
	}
	seen[t]++
	defer func() { seen[t]-- }()
	switch t.Kind() {
	case reflect.Pointer:
		if seen[t.Elem()] > 1 || leaves[t.Elem()] && t.Elem() != reflect.TypeFor[resource.Quantity]() {
			return
		}
		v.Set(reflect.New(t.Elem()))
		fill(v.Elem(), entries, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if t.Field(i).IsExported() {
				fill(v.Field(i), entries, seen)
			}
		}
	case reflect.Slice:
		n := 0
		if entries && seen[t.Elem()] <= 1 && t.Elem().Kind() != reflect.Uint8 {
			n = 1
		}
		v.Set(reflect.MakeSlice(t, n, n))
		if n > 0 {
			fill(v.Index(0), entries, seen)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		if entries && seen[t.Elem()] <= 1 {
			entry := reflect.New(t.Elem()).Elem()
			fill(entry, entries, seen)
			v.SetMapIndex(reflect.New(t.Key()).Elem(), entry)
		}
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func text(object any) string {
	out, err := json.Marshal(object)
	check(err)
	return string(out)
}

func main() {
	s := scheme.Scheme
	check(extinstall.AddToScheme(s))
	check(regv1.AddToScheme(s))
	wire := protobuf.NewSerializer(s, s)
	out := json.NewEncoder(os.Stdout)
	kinds := []schema.GroupVersionKind{}
	for kind, t := range s.AllKnownTypes() {
		_, hasMeta := t.FieldByName("ObjectMeta")
		if hasMeta && kind.Version != runtime.APIVersionInternal && !strings.HasSuffix(kind.Kind, "List") {
			kinds = append(kinds, kind)
		}
	}
	sort.Slice(kinds, func(a, b int) bool { return kinds[a].String() < kinds[b].String() })
	for _, kind := range kinds {
		for _, form := range []string{"empty", "hollow", "zero"} {
			object, err := s.New(kind)
			check(err)
			if form != "empty" {
				fill(reflect.ValueOf(object).Elem(), form == "zero", map[reflect.Type]int{})
			}
			object.GetObjectKind().SetGroupVersionKind(kind)
			l := line{Form: form, Kind: kind.GroupVersion().String() + " " + kind.Kind, In: text(object)}
			read, err := s.New(kind)
			check(err)
			check(json.Unmarshal([]byte(l.In), read))
			l.JSON = text(read)
			var bytes strings.Builder
			check(wire.Encode(read, &bytes))
			l.Proto = []byte(bytes.String())
			back, _, err := wire.Decode(l.Proto, nil, nil)
			check(err)
			back.GetObjectKind().SetGroupVersionKind(kind)
			l.Back = text(back)
			check(out.Encode(l))
		}
	}
}
