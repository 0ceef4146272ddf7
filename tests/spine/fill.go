package main

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fill makes objects of several kinds, written as protobuf, changed and deleted: what a store has to keep.
func fill(words []string) {
	c := client(words[0])
	ns := namespace(c, "spine-fill")
	for i := range 40 {
		must(c.CoreV1().ConfigMaps(ns).Create(ctx, configMap(fmt.Sprintf("m%02d", i), "x", "0"), metav1.CreateOptions{}))
		if i%3 == 0 {
			check(c.CoreV1().ConfigMaps(ns).Delete(ctx, fmt.Sprintf("m%02d", i), metav1.DeleteOptions{}))
		}
		if i%3 == 1 {
			changed := configMap(fmt.Sprintf("m%02d", i), "y", "1")
			must(c.CoreV1().ConfigMaps(ns).Update(ctx, changed, metav1.UpdateOptions{}))
		}
	}
	for i := range 10 {
		must(c.CoreV1().Services(ns).Create(ctx, nodePort(fmt.Sprintf("s%d", i), "", 0), metav1.CreateOptions{}))
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s%d", i)}, Data: map[string][]byte{"k": {0, 1, 2, 0xff}}}
		must(c.CoreV1().Secrets(ns).Create(ctx, secret, metav1.CreateOptions{}))
	}
	must(c.AutoscalingV2().HorizontalPodAutoscalers(ns).Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "web", APIVersion: "apps/v1"}, MaxReplicas: 3,
		},
	}, metav1.CreateOptions{}))
	must(c.CoreV1().Events(ns).Create(ctx, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "e"}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: "p"}, Reason: "Because",
	}, metav1.CreateOptions{}))
}
