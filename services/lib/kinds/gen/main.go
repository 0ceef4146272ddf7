// Judge answers what upstream does with an object: JSON lines in, JSON lines out.
//
//	{"op":"decode","object":{…},"to":"group/version"}        defaulted and converted
//	{"op":"create","object":{…}}                             prepared and validated for create
//	{"op":"update","object":{…},"old":{…},"sub":"status"}    prepared and validated for update
//	{"op":"print","object":{…}}                              columns and cells
//	{"op":"etcd"}                                            nothing yet
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	extinstall "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	"k8s.io/apiserver/pkg/authentication/user"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"
	regv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/install"
	"k8s.io/kube-aggregator/pkg/registry/apiservice"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/controlplane"
	"k8s.io/kubernetes/pkg/printers"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"
)

type request struct {
	Op     string          `json:"op"`
	Object json.RawMessage `json:"object"`
	Old    json.RawMessage `json:"old,omitempty"`
	Sub    string          `json:"sub,omitempty"`
	To     string          `json:"to,omitempty"`
}

type cause struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Field   string `json:"field"`
}

type answer struct {
	Object     json.RawMessage  `json:"object,omitempty"`
	Error      string           `json:"error,omitempty"`
	Causes     []cause          `json:"causes,omitempty"`
	Warnings   []string         `json:"warnings,omitempty"`
	Columns    []metav1.TableColumnDefinition `json:"columns,omitempty"`
	Cells      []any            `json:"cells,omitempty"`
	Conditions []metav1.TableRowCondition `json:"conditions,omitempty"`
}

type recorder struct{ seen []string }

func (r *recorder) AddWarning(_, text string) { r.seen = append(r.seen, text) }

var scheme = legacyscheme.Scheme
var codecs serializer.CodecFactory
var tables *printers.HumanReadableGenerator

func main() {
	extinstall.Install(scheme)
	regv1.Install(scheme)
	codecs = serializer.NewCodecFactory(scheme)
	strategies["CustomResourceDefinition"] = customresourcedefinition.NewStrategy(scheme)
	subresources["CustomResourceDefinition/status"] = customresourcedefinition.NewStatusStrategy(scheme)
	strategies["APIService"] = apiservice.NewStrategy(scheme)
	subresources["APIService/status"] = apiservice.NewStatusStrategy(scheme)
	tables = printers.NewTableGenerator().With(printersinternal.AddHandlers)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	decoder := json.NewDecoder(in)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for decoder.More() {
		var r request
		if err := decoder.Decode(&r); err != nil {
			panic(err)
		}
		encoder.Encode(serve(&r))
	}
}

func serve(r *request) (a *answer) {
	defer func() {
		if p := recover(); p != nil {
			a = &answer{Error: fmt.Sprint("panic: ", p)}
		}
	}()
	a = &answer{}
	obj, gvk, err := codecs.UniversalDecoder().Decode(r.Object, nil, nil)
	if err != nil {
		return &answer{Error: err.Error()}
	}
	to := gvk.GroupVersion()
	if r.To != "" {
		to, _ = schema.ParseGroupVersion(r.To)
	}
	switch r.Op {
	case "decode":
	case "print":
		table, err := tables.GenerateTable(obj, printers.GenerateOptions{Wide: true})
		if err != nil {
			return &answer{Error: err.Error()}
		}
		a.Columns = table.ColumnDefinitions
		if len(table.Rows) > 0 {
			a.Cells, a.Conditions = table.Rows[0].Cells, table.Rows[0].Conditions
		}
		return a
	case "create", "update":
		a.write(r, obj, gvk)
		if a.Error != "" {
			return a
		}
	}
	data, err := runtime.Encode(codecs.LegacyCodec(to), obj)
	if err != nil {
		return &answer{Error: err.Error()}
	}
	a.Object = data
	return a
}

func (a *answer) write(r *request, obj runtime.Object, gvk *schema.GroupVersionKind) {
	accessor, _ := meta.Accessor(obj)
	rec := &recorder{}
	ctx := genericrequest.WithNamespace(context.Background(), accessor.GetNamespace())
	ctx = warning.WithWarningRecorder(ctx, rec)
	ctx = genericrequest.WithUser(ctx, &user.DefaultInfo{Name: "someone", UID: "u1", Groups: []string{"g1"}})
	plural, _ := meta.UnsafeGuessKindToResource(*gvk)
	ctx = genericrequest.WithRequestInfo(ctx, &genericrequest.RequestInfo{IsResourceRequest: true, APIGroup: gvk.Group, APIVersion: gvk.Version, Resource: plural.Resource, Subresource: r.Sub, Name: accessor.GetName(), Namespace: accessor.GetNamespace()})
	var err error
	strategy := strategies[gvk.Kind]
	if r.Sub != "" {
		strategy = subresources[gvk.Kind+"/"+r.Sub]
	}
	if r.Op == "create" {
		s, ok := strategy.(rest.RESTCreateStrategy)
		if !ok {
			a.Error = "no strategy for " + gvk.Kind
			return
		}
		rest.FillObjectMetaSystemFields(accessor)
		accessor.SetUID("u1")
		err = rest.BeforeCreate(s, ctx, obj)
		if err == nil {
			for _, w := range s.WarningsOnCreate(ctx, obj) {
				_ = w
			}
		}
	} else {
		s, ok := strategy.(rest.RESTUpdateStrategy)
		if !ok {
			a.Error = "no strategy for " + gvk.Kind + "/" + r.Sub
			return
		}
		old, _, e := codecs.UniversalDecoder().Decode(r.Old, nil, nil)
		if e != nil {
			a.Error = e.Error()
			return
		}
		err = rest.BeforeUpdate(s, ctx, obj, old)
	}
	a.Warnings = rec.seen
	if err == nil {
		return
	}
	a.Error = err.Error()
	if status, ok := err.(*errors.StatusError); ok && status.ErrStatus.Details != nil {
		for _, c := range status.ErrStatus.Details.Causes {
			a.Causes = append(a.Causes, cause{string(c.Type), strings.TrimSpace(c.Message), c.Field})
		}
	}
}
