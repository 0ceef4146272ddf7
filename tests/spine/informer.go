package main

import (
	"fmt"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	coreinformers "k8s.io/client-go/informers/core/v1"
)

func namespaceOf(m *metav1.ObjectMeta) *corev1.Namespace { return &corev1.Namespace{ObjectMeta: *m} }

func configMap(name, label, data string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kind": label}}, Data: map[string]string{"v": data}}
}

// recorder notes what a client asks, without the versions it asks for.
type recorder struct {
	next http.RoundTripper
	mu   sync.Mutex
	seen []string
}

func (r *recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	query := q.URL.Query()
	for _, key := range []string{"timeoutSeconds", "timeout"} {
		query.Del(key)
	}
	if v := query.Get("resourceVersion"); v != "" && v != "0" {
		query.Set("resourceVersion", "RV")
	}
	answer, err := r.next.RoundTrip(q)
	line := q.Method + " " + q.URL.Path + "?" + query.Encode()
	if err == nil {
		line += " " + fmt.Sprint(answer.StatusCode) + " " + strings.Split(answer.Header.Get("Content-Type"), ",")[0]
	}
	r.mu.Lock()
	r.seen = append(r.seen, line)
	r.mu.Unlock()
	return answer, err
}

func (r *recorder) print() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.seen {
		fmt.Println("  asked", line)
	}
	r.seen = nil
}

// events prints the next n events of a watch. A bookmark that ends no initial events comes when a clock says so,
// on a busy machine between any two events: it is not one of the n.
func events(w watch.Interface, n int) {
	for n > 0 {
		select {
		case event, open := <-w.ResultChan():
			if !open {
				fmt.Println("  closed")
				return
			}
			if event.Type == watch.Error {
				status("  ERROR", apierrors.FromObject(event.Object))
				n--
				continue
			}
			m := must(meta.Accessor(event.Object))
			if event.Type == watch.Bookmark && len(m.GetAnnotations()) == 0 {
				continue
			}
			fmt.Printf("  %s %T %s annotations=%v version=%t\n", event.Type, event.Object, m.GetName(), m.GetAnnotations(), m.GetResourceVersion() != "")
			n--
		case <-time.After(20 * time.Second):
			fmt.Println("  nothing for 20 s")
			return
		}
	}
}

func informers(words []string) {
	check(os.Setenv("KUBE_FEATURE_WatchListClient", "true"))
	c := client(words[0])
	ns := namespace(c, "spine-informer")
	maps := c.CoreV1().ConfigMaps(ns)
	check(maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	for i := range 12 {
		must(maps.Create(ctx, configMap(fmt.Sprintf("m%02d", i), []string{"even", "odd"}[i%2], "0"), metav1.CreateOptions{}))
	}
	streams(c, ns)
	refusals(c, ns)
	for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf,application/json"} {
		reflectors(words[0], ns, media)
	}
	partial(words[0], ns)
}

// streams are watches by hand, with every way to begin.
func streams(c kubernetes.Interface, ns string) {
	yes, no := true, false
	maps := c.CoreV1().ConfigMaps(ns)
	list := must(maps.List(ctx, metav1.ListOptions{}))
	begin := func(title string, o metav1.ListOptions, initial int) {
		fmt.Println(title)
		w, err := maps.Watch(ctx, o)
		if err != nil {
			status("  refused", err)
			return
		}
		defer w.Stop()
		events(w, initial)
		must(maps.Create(ctx, configMap("new", "odd", "0"), metav1.CreateOptions{}))
		must(maps.Patch(ctx, "new", types.MergePatchType, []byte(`{"data":{"v":"1"}}`), metav1.PatchOptions{}))
		must(maps.Patch(ctx, "new", types.MergePatchType, []byte(`{"metadata":{"labels":{"kind":"even"}}}`), metav1.PatchOptions{}))
		check(maps.Delete(ctx, "new", metav1.DeleteOptions{}))
		switch {
		case o.FieldSelector != "":
		case o.LabelSelector != "":
			events(w, 3)
		default:
			events(w, 4)
		}
	}
	match := metav1.ResourceVersionMatchNotOlderThan
	begin("initial events and bookmark", metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: match, AllowWatchBookmarks: true}, 13)
	begin("initial events at a version", metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: match, AllowWatchBookmarks: true, ResourceVersion: list.ResourceVersion}, 13)
	begin("initial events at 0", metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: match, AllowWatchBookmarks: true, ResourceVersion: "0"}, 13)
	begin("initial events, selected", metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: match, AllowWatchBookmarks: true, LabelSelector: "kind=odd"}, 7)
	begin("initial events, one name", metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: match, AllowWatchBookmarks: true, FieldSelector: "metadata.name=m03"}, 2)
	begin("initial events without bookmarks", metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: match}, 12)
	begin("no initial events", metav1.ListOptions{SendInitialEvents: &no, ResourceVersionMatch: match}, 0)
	begin("no version", metav1.ListOptions{}, 12)
	begin("version 0", metav1.ListOptions{ResourceVersion: "0"}, 12)
	begin("from a list", metav1.ListOptions{ResourceVersion: must(maps.List(ctx, metav1.ListOptions{})).ResourceVersion}, 0)
}

// refusals are options that make no sense, and versions that are not there.
func refusals(c kubernetes.Interface, ns string) {
	yes := true
	maps := c.CoreV1().ConfigMaps(ns)
	match, exact := metav1.ResourceVersionMatchNotOlderThan, metav1.ResourceVersionMatchExact
	begin := func(title string, o metav1.ListOptions) {
		w, err := maps.Watch(ctx, o)
		if err != nil {
			status(title, err)
			return
		}
		fmt.Println(title)
		events(w, 1)
		w.Stop()
	}
	begin("no match", metav1.ListOptions{SendInitialEvents: &yes})
	begin("exact", metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: exact})
	begin("match alone", metav1.ListOptions{ResourceVersionMatch: match})
	begin("bad version", metav1.ListOptions{ResourceVersion: "x"})
	begin("negative timeout", metav1.ListOptions{ResourceVersion: "-1"})
	begin("bad selector", metav1.ListOptions{FieldSelector: "data.v=1"})
	listing := func(title string, o metav1.ListOptions) {
		l, err := maps.List(ctx, o)
		status(title, err)
		if err == nil {
			fmt.Println("  items", len(l.Items), "continue", l.Continue != "")
		}
	}
	listing("list initial", metav1.ListOptions{SendInitialEvents: &yes, ResourceVersionMatch: match})
	listing("list exact future", metav1.ListOptions{ResourceVersion: "999999999", ResourceVersionMatch: exact})
	listing("list exact 0", metav1.ListOptions{ResourceVersion: "0", ResourceVersionMatch: exact})
	listing("list exact nothing", metav1.ListOptions{ResourceVersionMatch: exact})
	listing("list bad match", metav1.ListOptions{ResourceVersionMatch: "Newest", ResourceVersion: "1"})
	listing("list bad version", metav1.ListOptions{ResourceVersion: "x"})
	listing("list bad continue", metav1.ListOptions{Continue: "%%%"})
	listing("list limit at 0", metav1.ListOptions{ResourceVersion: "0", Limit: 5})
	// these ask to be tried again, which would take a minute each
	future := func(what string, parameters map[string]string, name string) {
		q := c.CoreV1().RESTClient().Get().Namespace(ns).Resource("configmaps")
		if name != "" {
			q = q.Name(name)
		}
		q = q.MaxRetries(0).Param("resourceVersion", "999999999")
		for key, value := range parameters {
			q = q.Param(key, value)
		}
		if parameters["watch"] == "" {
			status(what, q.Do(ctx).Error())
			return
		}
		fmt.Println(what)
		w := must(q.Watch(ctx))
		events(w, 1)
		w.Stop()
	}
	future("get future", nil, "m01")
	future("list future", map[string]string{"limit": "0"}, "")
	future("watch future", map[string]string{"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}, "")
}

// log notes what an informer's handlers are told.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(format string, words ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, words...))
}

func (l *log) until(n int) []string {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		have := len(l.lines)
		l.mu.Unlock()
		if have >= n {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

func (l *log) handler() cache.ResourceEventHandler {
	name := func(o any) string {
		if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
			return "unknown " + d.Key
		}
		return must(meta.Accessor(o)).GetName()
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(o any, initial bool) { l.add("add %s initial=%t", name(o), initial) },
		UpdateFunc: func(_, o any) { l.add("update %s", name(o)) },
		DeleteFunc: func(o any) { l.add("delete %s", name(o)) },
	}
}

func follow(informer cache.SharedIndexInformer, change func(), r *recorder) {
	l := &log{}
	must(informer.AddEventHandler(l.handler()))
	stop := make(chan struct{})
	go informer.Run(stop)
	if !cache.WaitForCacheSync(stop, informer.HasSynced) {
		fail("the informer does not sync")
	}
	first := l.until(12)
	sort.Strings(first)
	fmt.Println("  initial", first)
	change()
	for _, line := range l.until(4) {
		fmt.Println("  then", line)
	}
	close(stop)
	r.print()
}

func reflectors(kubeconfig, ns, media string) {
	fmt.Println("informer with", media)
	r := &recorder{}
	c := config(kubeconfig)
	c.ContentType, c.AcceptContentTypes = strings.Split(media, ",")[0], media
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { r.next = next; return r })
	set := must(kubernetes.NewForConfig(c))
	follow(coreinformers.NewConfigMapInformer(set, ns, 0, cache.Indexers{}), func() { changes(kubeconfig, ns) }, r)
}

// partial is an informer of metadata alone, as the garbage collector has.
func partial(kubeconfig, ns string) {
	fmt.Println("metadata informer")
	r := &recorder{}
	c := config(kubeconfig)
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { r.next = next; return r })
	set := must(metadata.NewForConfig(rest.CopyConfig(c)))
	factory := metadatainformer.NewFilteredSharedInformerFactory(set, 0, ns, nil)
	follow(factory.ForResource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Informer(), func() { changes(kubeconfig, ns) }, r)
}

func changes(kubeconfig, ns string) {
	maps := client(kubeconfig).CoreV1().ConfigMaps(ns)
	must(maps.Create(ctx, configMap("later", "odd", "0"), metav1.CreateOptions{}))
	must(maps.Patch(ctx, "later", types.MergePatchType, []byte(`{"data":{"v":"1"}}`), metav1.PatchOptions{}))
	must(maps.Patch(ctx, "m00", types.MergePatchType, []byte(fmt.Sprintf(`{"data":{"v":"%d"}}`, time.Now().UnixNano())), metav1.PatchOptions{}))
	check(maps.Delete(ctx, "later", metav1.DeleteOptions{}))
}
