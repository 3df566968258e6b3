package main

import (
	"context"
	"errors"
)

// drainEndpoint removes an endpoint with an open connection: that one goes on, new ones go elsewhere.
func (d *demo) drainEndpoint(ctx context.Context) error {
	leaving, staying := endpoints[2], endpoints[:2]
	conn, err := openTo(ctx, d.client.Namespace, service, leaving)
	if err != nil {
		return err
	}
	defer conn.conn.Close()
	d.say("The client pod keeps a connection open to %s. Then that one is taken out of", leaving)
	d.say("manifests/endpoints.yaml.\n ")
	if err := d.change("two-endpoints.yaml"); err != nil {
		return err
	}
	took, err := d.wait(ctx, leaving+" has weight 0", d.sends(map[string]int{staying[0]: 1, staying[1]: 1, leaving: 0}))
	if err != nil {
		return err
	}
	d.check(nil, "%s got weight 0 after %s: it drains", leaving, seconds(took))
	if err := d.show(ctx); err != nil {
		return err
	}
	fresh := d.from(ctx, d.client.Namespace, 60)
	d.say("60 new requests:\n \n%s\n ", fresh.bars())
	d.check(fresh.each(30, staying), "new requests go to the other two only, 30 to each")
	d.check(d.stillAnswers(ctx, conn, leaving), "the open connection to %s still answers", leaving)
	if err := conn.conn.Close(); err != nil {
		return err
	}
	d.say("\nNow the client closes it. The kernel remembers a closed connection a little longer (10 s")
	d.say("after the reset that our clients end with, 2 minutes after a farewell); then it is over.\n ")
	took, err = d.wait(ctx, leaving+" is gone", d.sends(map[string]int{staying[0]: 1, staying[1]: 1}))
	if err != nil {
		return err
	}
	d.check(nil, "%s was gone from the table %s after its last connection", leaving, seconds(took))
	return nil
}

// stillAnswers asks twice through an open connection, which must lead where it always led.
func (d *demo) stillAnswers(ctx context.Context, conn *open, endpoint string) error {
	var errs []error
	for range 2 {
		answer, err := conn.ask(ctx)
		errs = append(errs, err, unless(err != nil || answer.Server == endpoint, "%s answers", answer.Server))
	}
	return errors.Join(errs...)
}
