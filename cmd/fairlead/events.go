package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"

	"github.com/fairlead-lb/fairlead/controller"
)

// apiEvents puts Events on objects in the API server. Equal ones become one with a count. One that
// cannot be written is lost: the log has it all the same.
type apiEvents struct{ recorder events.EventRecorder }

var _ controller.Events = apiEvents{}

// newEvents returns a recorder that works until ctx ends.
func newEvents(ctx context.Context, client kubernetes.Interface, nodeName string) apiEvents {
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	broadcaster.StartRecordingToSink(ctx.Done())
	context.AfterFunc(ctx, broadcaster.Shutdown)
	return apiEvents{broadcaster.NewRecorder(scheme.Scheme, "fairlead/"+nodeName)}
}

// nodeWarner returns what puts a Warning event on this node, where there is an API server.
func nodeWarner(events controller.Events, nodeName string) func(reason, text string) {
	api, ok := events.(apiEvents)
	if !ok {
		return func(string, string) {}
	}
	node := &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: nodeName, UID: types.UID(nodeName)} // as the kubelet does
	return func(reason, text string) {
		api.recorder.Eventf(node, nil, corev1.EventTypeWarning, reason, "Serve", "%s", text)
	}
}

// Warning implements controller.Events.
func (e apiEvents) Warning(svc *corev1.Service, reason, text string) {
	e.recorder.Eventf(svc, nil, corev1.EventTypeWarning, reason, "Serve", "%s", text)
}
