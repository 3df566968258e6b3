package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/controller/source"
)

// apiEvents puts Events on objects in the API server. Equal ones become one with a count. One that
// cannot be written is lost: the log has it all the same.
type apiEvents struct{ recorder record.EventRecorder }

var _ controller.Events = &apiEvents{}

// newEvents returns a recorder that works until ctx ends.
func newEvents(ctx context.Context, client source.Client, nodeName string) *apiEvents {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(eventSink{ctx, client.Core})
	context.AfterFunc(ctx, broadcaster.Shutdown)
	return &apiEvents{broadcaster.NewRecorder(source.Scheme(), corev1.EventSource{Component: "fairlead", Host: nodeName})}
}

// Warning implements controller.Events.
func (e *apiEvents) Warning(svc *corev1.Service, reason, text string) {
	e.recorder.Event(svc, corev1.EventTypeWarning, reason, text)
}

// eventSink writes Events.
type eventSink struct {
	ctx    context.Context // until when: the interface has none
	client rest.Interface
}

var _ record.EventSink = eventSink{}

// Create implements record.EventSink.
func (s eventSink) Create(event *corev1.Event) (*corev1.Event, error) {
	return s.write(s.client.Post(), event, event)
}

// Update implements record.EventSink.
func (s eventSink) Update(event *corev1.Event) (*corev1.Event, error) {
	return s.write(s.client.Put().Name(event.Name), event, event)
}

// Patch implements record.EventSink.
func (s eventSink) Patch(event *corev1.Event, data []byte) (*corev1.Event, error) {
	return s.write(s.client.Patch(types.StrategicMergePatchType).Name(event.Name), event, data)
}

func (s eventSink) write(request *rest.Request, event *corev1.Event, body any) (*corev1.Event, error) {
	written := new(corev1.Event)
	err := request.Namespace(event.Namespace).Resource("events").Body(body).Do(s.ctx).Into(written)
	return written, err
}

// nodeWarning puts an Event on a Node. Its UID there is its name, as in those of the kubelet and of
// kube-proxy: that is what kubectl describe looks for.
func (e *apiEvents) nodeWarning(node, reason, text string) {
	about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node, UID: types.UID(node)}
	e.recorder.Event(about, corev1.EventTypeWarning, reason, text)
}
