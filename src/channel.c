#include "channel.h"

#include "cluster.h"

struct channel {
    const popoto_allocator *allocator;
    server_link *link; /* one of the two */
    cluster *nodes;
};

bool popoto__channel_is_cluster(const address *to) {
    return to->kind == ADDRESS_CLUSTER || to->kind == ADDRESS_CLUSTER_TLS;
}

popoto_status popoto__channel_new(const address *to, const link_options *options, channel **out,
                                  failure *why) {
    *out = NULL;
    channel *it = popoto__allocate_zeroed(options->allocator, 1, sizeof *it);
    if (it == NULL)
        return popoto__fail_memory(why);
    it->allocator = options->allocator;
    popoto_status status = popoto__channel_is_cluster(to)
                               ? popoto__cluster_new(to, options, &it->nodes, why)
                               : popoto__link_new(to, options, &it->link, why);
    if (status != POPOTO_OK)
        popoto__release(options->allocator, it);
    else
        *out = it;
    return status;
}

void popoto__channel_free(channel *it) {
    if (it == NULL)
        return;
    popoto__link_free(it->link);
    popoto__cluster_free(it->nodes);
    popoto__release(it->allocator, it);
}

popoto_status popoto__channel_connect(channel *it, failure *why) {
    return it->nodes != NULL ? popoto__cluster_connect(it->nodes, why)
                             : popoto__link_connect(it->link, why);
}

void popoto__channel_drop(channel *it) {
    if (it->nodes != NULL)
        popoto__cluster_drop(it->nodes);
    else
        popoto__link_drop(it->link);
}

popoto_status popoto__channel_exchange(channel *it, const exchange *what, failure *why) {
    return it->nodes != NULL ? popoto__cluster_exchange(it->nodes, what, why)
                             : popoto__link_exchange(it->link, what, why);
}

void popoto__channel_post(channel *it, posted *one) {
    if (it->nodes == NULL) {
        popoto__link_post(it->link, one);
        return;
    }
    one->status = popoto__cluster_exchange(it->nodes, &one->what, &one->why);
    one->is_done = true;
}

popoto_status popoto__channel_collect(channel *it, posted *one, failure *why) {
    if (it->nodes == NULL)
        return popoto__link_collect(it->link, one, why);
    if (one->status != POPOTO_OK)
        *why = one->why;
    return one->status;
}
