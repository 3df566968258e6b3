package source

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// proxyNameLabel is the one label of a Service that is read. Who has it is served by another proxy.
const proxyNameLabel = "service.kubernetes.io/service-proxy-name"

// roomyService has room for one of what most Services have one of: that saves allocations, and the memory that the
// allocator rounds up.
type roomyService struct {
	corev1.Service
	port      [1]corev1.ServicePort
	clusterIP [1]string
}

// decodeService reads what Fairlead uses of a serialized Service (k8s.io/api/core/v1/generated.proto has the
// numbers of the fields, here and below). That is the Raw of a runtime.Unknown.
func (d *decoder) decodeService(data []byte) (*corev1.Service, error) {
	svc := new(roomyService)
	err := d.service(svc, data)
	d.settle()
	if err != nil {
		return nil, fmt.Errorf("read a Service: %w", err)
	}
	return &svc.Service, nil
}

func (d *decoder) service(svc *roomyService, data []byte) error {
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			m.within("metadata", d.metadata(&svc.ObjectMeta, m.bytes(), keep{label: proxyNameLabel, uid: true}))
		case 2:
			m.within("spec", d.serviceSpec(svc, m.bytes()))
		case 3:
			m.within("status", d.serviceStatus(&svc.Status, m.bytes()))
		}
	}
	return m.err
}

func (d *decoder) serviceSpec(room *roomyService, data []byte) error {
	spec := &room.Spec
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			spec.Ports = append(roomFor(d, spec.Ports, &m, room.port[:]), corev1.ServicePort{})
			m.within("ports", d.servicePort(&spec.Ports[len(spec.Ports)-1], m.bytes()))
		case 3:
			d.later(&spec.ClusterIP, m.bytes())
		case 4:
			spec.Type = corev1.ServiceType(d.name(m.bytes()))
		case 5:
			spec.ExternalIPs = d.addText(spec.ExternalIPs, &m, nil)
		case 7:
			spec.SessionAffinity = corev1.ServiceAffinity(d.name(m.bytes()))
		case 9:
			spec.LoadBalancerSourceRanges = d.addText(spec.LoadBalancerSourceRanges, &m, nil)
		case 11:
			spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicy(d.name(m.bytes()))
		case 12:
			spec.HealthCheckNodePort = m.int32()
		case 14:
			if spec.SessionAffinityConfig == nil {
				spec.SessionAffinityConfig = new(corev1.SessionAffinityConfig)
			}
			m.within("sessionAffinityConfig", d.sessionAffinity(spec.SessionAffinityConfig, m.bytes()))
		case 18:
			spec.ClusterIPs = d.addText(spec.ClusterIPs, &m, room.clusterIP[:])
		case 22:
			spec.InternalTrafficPolicy = (*corev1.ServiceInternalTrafficPolicy)(d.shared(m.bytes()))
		}
	}
	return m.err
}

// servicePort leaves the target port out: the slices have the port of the endpoints.
func (d *decoder) servicePort(port *corev1.ServicePort, data []byte) error {
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			port.Name = d.name(m.bytes())
		case 2:
			port.Protocol = corev1.Protocol(d.name(m.bytes()))
		case 3:
			port.Port = m.int32()
		case 5:
			port.NodePort = m.int32()
		}
	}
	return m.err
}

func (d *decoder) sessionAffinity(config *corev1.SessionAffinityConfig, data []byte) error {
	m := message{data: data}
	for m.next() {
		if m.num != 1 {
			continue
		}
		if config.ClientIP == nil {
			config.ClientIP = new(corev1.ClientIPConfig)
		}
		in := message{data: m.bytes()}
		for in.next() {
			if in.num == 1 {
				config.ClientIP.TimeoutSeconds = d.number(in.int32())
			}
		}
		m.within("clientIP", in.err)
	}
	return m.err
}

func (d *decoder) serviceStatus(status *corev1.ServiceStatus, data []byte) error {
	m := message{data: data}
	for m.next() {
		if m.num == 1 {
			m.within("loadBalancer", d.loadBalancer(&status.LoadBalancer, m.bytes()))
		}
	}
	return m.err
}

func (d *decoder) loadBalancer(status *corev1.LoadBalancerStatus, data []byte) error {
	m := message{data: data}
	for m.next() {
		if m.num == 1 {
			status.Ingress = append(roomFor(d, status.Ingress, &m, nil), corev1.LoadBalancerIngress{})
			m.within("ingress", d.ingress(&status.Ingress[len(status.Ingress)-1], m.bytes()))
		}
	}
	return m.err
}

// ingress keeps one without an IP, too, as an empty one: somebody asks whether there are any.
func (d *decoder) ingress(ingress *corev1.LoadBalancerIngress, data []byte) error {
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			d.later(&ingress.IP, m.bytes())
		case 3:
			ingress.IPMode = (*corev1.LoadBalancerIPMode)(d.shared(m.bytes()))
		}
	}
	return m.err
}
