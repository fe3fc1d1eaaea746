// Package enginetest tests engine from outside and lends its tools to other rooms: a dumb oracle that answers commands by
// linear scans over a list of reservations, and a generator of random floors and command streams.
package enginetest
