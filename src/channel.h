/* channel - what a db speaks to: one server over a link, or a cluster. The one place that asks which. */
#ifndef POPOTO_CHANNEL_H
#define POPOTO_CHANNEL_H

#include "link.h"

typedef struct channel channel;

/* To an address of any kind but ADDRESS_EMBEDDED; not yet connected. */
popoto_status popoto__channel_new(const address *to, const link_options *options, channel **out,
                                  failure *why);
void popoto__channel_free(channel *it);
bool popoto__channel_is_cluster(const address *to);

/* See popoto__link_connect, popoto__link_drop and popoto__link_exchange; popoto__cluster_exchange for what differs. */
popoto_status popoto__channel_connect(channel *it, failure *why);
void popoto__channel_drop(channel *it);
popoto_status popoto__channel_exchange(channel *it, const exchange *what, failure *why);
/* See popoto__link_post and popoto__link_collect. With a cluster, an exchange is done when it is posted. */
void popoto__channel_post(channel *it, posted *one);
popoto_status popoto__channel_collect(channel *it, posted *one, failure *why);

#endif
