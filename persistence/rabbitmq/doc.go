// Package rabbitmq publishes the events of restaurants to RabbitMQ.
package rabbitmq
