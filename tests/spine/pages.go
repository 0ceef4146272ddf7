package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// token says what a continue token holds: its form is shared by all servers of a store.
func token(text string, version string) string {
	if text == "" {
		return "none"
	}
	raw := must(base64.RawURLEncoding.DecodeString(text))
	var inside struct {
		V     string `json:"v"`
		RV    int64  `json:"rv"`
		Start string `json:"start"`
	}
	check(json.Unmarshal(raw, &inside))
	which := "another version"
	switch fmt.Sprint(inside.RV) {
	case version:
		which = "the list's version"
	case "-1":
		which = "-1"
	}
	return fmt.Sprintf("%s %s %q", inside.V, which, inside.Start)
}

func page(what string, l *corev1.ConfigMapList) {
	names := []string{}
	for _, item := range l.Items {
		names = append(names, item.Name+"="+item.Data["v"])
	}
	remaining := "?"
	if l.RemainingItemCount != nil {
		remaining = fmt.Sprint(*l.RemainingItemCount)
	}
	fmt.Println(what, strings.Join(names, " "), "remaining", remaining, "continue", token(l.Continue, l.ResourceVersion))
}

func pages(words []string) {
	c := client(words[0])
	ns := namespace(c, "spine-pages")
	other := namespace(c, "spine-pages-b")
	maps := c.CoreV1().ConfigMaps(ns)
	check(maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	must(c.CoreV1().ConfigMaps(other).Create(ctx, configMap("elsewhere", "x", "0"), metav1.CreateOptions{}))
	// names around a slash: the order is that of full keys
	for i := range 25 {
		must(maps.Create(ctx, configMap(fmt.Sprintf("m%02d", i), []string{"even", "odd"}[i%2], "0"), metav1.CreateOptions{}))
	}
	first := must(maps.List(ctx, metav1.ListOptions{Limit: 10}))
	page("first", first)
	selected := must(maps.List(ctx, metav1.ListOptions{Limit: 5, LabelSelector: "kind=odd"}))
	page("selected", selected)
	check(maps.Delete(ctx, "m12", metav1.DeleteOptions{}))
	must(maps.Create(ctx, configMap("m105", "even", "0"), metav1.CreateOptions{}))
	must(maps.Patch(ctx, "m13", types.MergePatchType, []byte(`{"data":{"v":"changed"}}`), metav1.PatchOptions{}))
	second := must(maps.List(ctx, metav1.ListOptions{Limit: 10, Continue: first.Continue}))
	page("second, pinned", second)
	fmt.Println("same version", second.ResourceVersion == first.ResourceVersion)
	page("third, pinned", must(maps.List(ctx, metav1.ListOptions{Limit: 10, Continue: second.Continue})))
	page("all that is left, pinned", must(maps.List(ctx, metav1.ListOptions{Continue: first.Continue})))
	page("selected, second", must(maps.List(ctx, metav1.ListOptions{Limit: 5, LabelSelector: "kind=odd", Continue: selected.Continue})))
	exact := metav1.ResourceVersionMatchExact
	page("exact", must(maps.List(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion, ResourceVersionMatch: exact})))
	page("exact, limited", must(maps.List(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion, ResourceVersionMatch: exact, Limit: 14})))
	page("a limit and a version", must(maps.List(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion, Limit: 14})))
	page("not older", must(maps.List(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, Limit: 14})))
	_, err := maps.List(ctx, metav1.ListOptions{Limit: 10, Continue: first.Continue, ResourceVersion: first.ResourceVersion})
	status("continue with a version", err)
	_, err = maps.List(ctx, metav1.ListOptions{Limit: 10, Continue: first.Continue, ResourceVersion: "0"})
	status("continue with version 0", err)
	_, err = maps.List(ctx, metav1.ListOptions{Limit: 10, Continue: first.Continue, ResourceVersionMatch: exact})
	status("continue with a match", err)
	stranger := must(c.CoreV1().ConfigMaps(other).List(ctx, metav1.ListOptions{Continue: first.Continue}))
	page("another namespace's token", stranger)
	expired(c.CoreV1().ConfigMaps(ns).List, first)
	watchExpired(words[0], ns, first.ResourceVersion)
}

// expired waits until the server's own compaction has passed a list, and follows the token the refusal gives.
func expired(list func(c context.Context, o metav1.ListOptions) (*corev1.ConfigMapList, error), first *corev1.ConfigMapList) {
	end := time.Now().Add(90 * time.Second)
	for {
		_, err := list(ctx, metav1.ListOptions{Limit: 10, Continue: first.Continue})
		if apierrors.IsResourceExpired(err) {
			status("expired", err)
			inconsistent := err.(apierrors.APIStatus).Status().Continue
			fmt.Println("token", token(inconsistent, first.ResourceVersion))
			rest := must(list(ctx, metav1.ListOptions{Limit: 10, Continue: inconsistent}))
			page("from there, as it is now", rest)
			fmt.Println("newer", rest.ResourceVersion != first.ResourceVersion)
			page("and on, pinned again", must(list(ctx, metav1.ListOptions{Limit: 10, Continue: rest.Continue})))
			break
		}
		check(err)
		if time.Now().After(end) {
			fail("the list does not expire")
		}
		time.Sleep(200 * time.Millisecond)
	}
	_, err := list(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	status("exact, compacted", err)
	_, err = list(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion})
	status("not older, compacted", err)
}

// watchExpired watches from before everything.
func watchExpired(kubeconfig, ns, _ string) {
	w, err := client(kubeconfig).CoreV1().ConfigMaps(ns).Watch(ctx, metav1.ListOptions{ResourceVersion: "1"})
	if err != nil {
		status("watch from 1", err)
		return
	}
	defer w.Stop()
	fmt.Println("watch from 1")
	events(w, 2)
}
