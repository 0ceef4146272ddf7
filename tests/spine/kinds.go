package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// kinds writes through one face of a kind and reads through the other.
func kinds(words []string) {
	c := client(words[0])
	ns := namespace(c, "spine-kinds")
	autoscalers(c, ns)
	happenings(c, ns)
}

func number(n int32) *int32 { return &n }

// next prints what a watch of another face tells.
func next(what string, w watch.Interface) {
	select {
	case event := <-w.ResultChan():
		show(what+" "+string(event.Type), event.Object)
	case <-time.After(20 * time.Second):
		fmt.Println(what, "nothing for 20 s")
	}
}

func autoscalers(c kubernetes.Interface, ns string) {
	one, two := c.AutoscalingV1().HorizontalPodAutoscalers(ns), c.AutoscalingV2().HorizontalPodAutoscalers(ns)
	target := autoscalingv1.CrossVersionObjectReference{Kind: "Deployment", Name: "web", APIVersion: "apps/v1"}
	old, young := must(one.Watch(ctx, metav1.ListOptions{})), must(two.Watch(ctx, metav1.ListOptions{}))
	made := must(one.Create(ctx, &autoscalingv1.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Spec:       autoscalingv1.HorizontalPodAutoscalerSpec{ScaleTargetRef: target, MaxReplicas: 5, TargetCPUUtilizationPercentage: number(70)},
	}, metav1.CreateOptions{}))
	show("created in v1", made)
	next("v1 sees", old)
	next("v2 sees", young)
	wide := must(two.Get(ctx, "a", metav1.GetOptions{}))
	show("read in v2", wide)
	quantity := resource.MustParse("1500m")
	wide.Spec.Metrics = append(wide.Spec.Metrics, autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: "requests"},
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &quantity},
	}})
	policy := autoscalingv2.MinChangePolicySelect
	wide.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscalingv2.HPAScalingRules{SelectPolicy: &policy}}
	show("updated in v2", must(two.Update(ctx, wide, metav1.UpdateOptions{})))
	next("v1 sees", old)
	next("v2 sees", young)
	narrow := must(one.Get(ctx, "a", metav1.GetOptions{}))
	show("read in v1", narrow)
	show("patched in v1", must(one.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"maxReplicas":9}}`), metav1.PatchOptions{})))
	show("nothing lost in v2", must(two.Get(ctx, "a", metav1.GetOptions{})))
	narrow = must(one.Get(ctx, "a", metav1.GetOptions{}))
	narrow.Status = autoscalingv1.HorizontalPodAutoscalerStatus{CurrentReplicas: 2, DesiredReplicas: 3, CurrentCPUUtilizationPercentage: number(40)}
	show("status in v1", must(one.UpdateStatus(ctx, narrow, metav1.UpdateOptions{})))
	show("status in v2", must(two.Get(ctx, "a", metav1.GetOptions{})).Status)
	show("listed in v1", must(one.List(ctx, metav1.ListOptions{})).Items)
	show("listed in v2", must(two.List(ctx, metav1.ListOptions{})).Items)
	apply := `{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"a"},"spec":{"maxReplicas":4}}`
	_, err := one.Patch(ctx, "a", types.ApplyPatchType, []byte(apply), metav1.PatchOptions{FieldManager: "spine"})
	status("apply in v1 over v2's manager", err)
	yes := true
	_, err = one.Patch(ctx, "a", types.ApplyPatchType, []byte(apply), metav1.PatchOptions{FieldManager: "spine", Force: &yes})
	status("forced", err)
	managers := []string{}
	for _, m := range must(two.Get(ctx, "a", metav1.GetOptions{})).ManagedFields {
		managers = append(managers, fmt.Sprint(strings.Split(m.Manager, "/")[0], " ", m.Operation, " ", m.APIVersion, " ", m.Subresource, " ", m.FieldsV1))
	}
	slices.Sort(managers) // the server sorts them by time first: which second a request falls into is no part of an answer
	fmt.Println("managers", strings.Join(managers, "; "))
	_, err = two.Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "bad"}}, metav1.CreateOptions{})
	status("nothing said, v2", err)
	_, err = one.Create(ctx, &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Spec: autoscalingv1.HorizontalPodAutoscalerSpec{ScaleTargetRef: target}}, metav1.CreateOptions{})
	status("no maximum, v1", err)
	check(two.Delete(ctx, "a", metav1.DeleteOptions{}))
	for _, w := range []watch.Interface{old, young} {
		for event := range w.ResultChan() {
			if event.Type == watch.Deleted {
				show("deleted", event.Object)
				break
			}
		}
		w.Stop()
	}
}

func happenings(c kubernetes.Interface, ns string) {
	core, own := c.CoreV1().Events(ns), c.EventsV1().Events(ns)
	old, young := must(core.Watch(ctx, metav1.ListOptions{})), must(own.Watch(ctx, metav1.ListOptions{}))
	defer old.Stop()
	defer young.Stop()
	at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	micro := metav1.NewMicroTime(time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC))
	pod := corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "p", UID: "1", APIVersion: "v1", FieldPath: "spec"}
	show("created in core", must(core.Create(ctx, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "one"}, InvolvedObject: pod, Reason: "Because", Message: "so", Type: "Normal",
		Source: corev1.EventSource{Component: "spine", Host: "h"}, FirstTimestamp: at, LastTimestamp: at, Count: 3,
	}, metav1.CreateOptions{})))
	next("core sees", old)
	next("events sees", young)
	show("created in events", must(own.Create(ctx, &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "two"}, EventTime: micro, ReportingController: "spine", ReportingInstance: "i", Action: "Do",
		Reason: "Because", Regarding: pod, Related: &corev1.ObjectReference{Kind: "Node", Name: "n"}, Note: "noted", Type: "Warning",
		Series: &eventsv1.EventSeries{Count: 2, LastObservedTime: micro},
	}, metav1.CreateOptions{})))
	next("core sees", old)
	next("events sees", young)
	for _, name := range []string{"one", "two"} {
		show(name+" in core", must(core.Get(ctx, name, metav1.GetOptions{})))
		show(name+" in events", must(own.Get(ctx, name, metav1.GetOptions{})))
	}
	show("selected in core", must(core.List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=p,reason=Because,type=Warning"})).Items)
	show("selected in events", must(own.List(ctx, metav1.ListOptions{FieldSelector: "regarding.name=p,reason=Because,reportingController=spine"})).Items)
	_, err := own.List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.nome=p"})
	status("bad label in events", err)
	_, err = core.List(ctx, metav1.ListOptions{FieldSelector: "regarding.nome=p"})
	status("bad label in core", err)
	_, err = own.Create(ctx, &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Regarding: pod}, metav1.CreateOptions{})
	status("nothing said in events", err)
	_, err = core.Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, InvolvedObject: corev1.ObjectReference{Namespace: "elsewhere"}}, metav1.CreateOptions{})
	status("another namespace in core", err)
	patched := must(own.Patch(ctx, "two", types.StrategicMergePatchType, []byte(`{"series":{"count":5,"lastObservedTime":"2026-01-02T03:04:06.000000Z"}}`), metav1.PatchOptions{}))
	show("patched in events", patched)
	show("patched, in core", must(core.Get(ctx, "two", metav1.GetOptions{})))
	_, err = own.Patch(ctx, "two", types.MergePatchType, []byte(`{"note":"other"}`), metav1.PatchOptions{})
	status("changed what may not change", err)
	check(own.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	fmt.Println("left", len(must(core.List(ctx, metav1.ListOptions{})).Items))
}
