package edge

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"maitred/engine"
)

const (
	traceQueue = 2048 // spans that wait to be sent; more are dropped
	traceBatch = 256
	traceEvery = 2 * time.Second
)

// Tracing sends a share of the requests as OpenTelemetry spans: one of the request, one of its command from decide to durable.
type Tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// OpenTracing sends to an OTLP collector over HTTP. endpoint is its base URL, or a whole URL with a path; share, 0 to 1, of the
// requests is traced. A client that names a trace joins it, but does not decide whether it is recorded: that is paid for here.
func OpenTracing(ctx context.Context, endpoint string, share float64, node string, log *slog.Logger) (*Tracing, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("edge: %q is not the URL of a collector: http(s)://host:port", endpoint)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are lost", "error", err) })) // one a process
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithTimeout(traceEvery))
	if err != nil {
		return nil, fmt.Errorf("edge: open the exporter of traces: %w", err)
	}
	sampler := sdktrace.TraceIDRatioBased(share)
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(traceQueue), sdktrace.WithMaxExportBatchSize(traceBatch), sdktrace.WithBatchTimeout(traceEvery)),
		sdktrace.WithSampler(sdktrace.ParentBased(sampler, sdktrace.WithRemoteParentSampled(sampler), sdktrace.WithRemoteParentNotSampled(sampler))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "maitred"), attribute.String("service.instance.id", node))),
	)
	return &Tracing{provider: provider, tracer: provider.Tracer("maitred/edge")}, nil
}

// Close sends what waits, for at most a few seconds.
func (t *Tracing) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*traceEvery)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("edge: send the last traces: %w", err)
	}
	return nil
}

// span is of a request that is recorded.
type span struct {
	trace.Span
	ctx context.Context
}

// carrier shows the request's traceparent to the propagator.
type carrier struct{ parent string }

func (c carrier) Get(key string) string {
	if key == "traceparent" {
		return c.parent
	}
	return ""
}
func (carrier) Set(string, string) {}
func (carrier) Keys() []string     { return []string{"traceparent"} }

// begin opens the request's span; nil when it is not recorded.
func (t *Tracing) begin(x *exchange) *span {
	ctx := context.Background()
	if p := x.head.traceparent; p != nil {
		ctx = propagation.TraceContext{}.Extract(ctx, carrier{string(p)})
	}
	ctx, s := t.tracer.Start(ctx, x.endpoint.method+" "+x.endpoint.pattern, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(x.ctx.Time()),
		trace.WithAttributes(attribute.String("http.request.method", x.endpoint.method), attribute.String("http.route", x.endpoint.pattern)))
	if !s.IsRecording() {
		return nil
	}
	return &span{s, ctx}
}

// end closes the request's span.
func (s *span) end(x *exchange) {
	status := x.ctx.Response.StatusCode()
	s.SetAttributes(attribute.Int("http.response.status_code", status))
	if len(x.id) > 0 {
		s.SetAttributes(attribute.String("maitred.request_id", string(x.id)))
	}
	if status >= 500 {
		s.SetStatus(codes.Error, "")
	}
	s.End()
}

// decide lets the house decide cmd; the time until the answer is durable is a span of its own.
func (x *exchange) decide(id engine.AggregateID, cmd *engine.Command) (engine.Outcome, error) {
	if x.span == nil {
		return x.s.house.Do(id, cmd, x.deadline(commandTimeout))
	}
	_, child := x.s.cfg.Tracing.tracer.Start(x.span.ctx, reflect.TypeOf(cmd.Body).Elem().Name())
	defer child.End()
	out, err := x.s.house.Do(id, cmd, x.deadline(commandTimeout))
	if err != nil {
		child.SetStatus(codes.Error, kindOfFault(err).code)
		return out, err
	}
	child.SetAttributes(attribute.String("maitred.outcome", out.Code.String()), attribute.Bool("maitred.replayed", out.Replayed))
	return out, nil
}
