/* first - the program that README.md opens with: two records, one query.
 *
 *     cc first.c $(pkg-config --cflags --libs popoto) && ./a.out
 */
#include <popoto.h>
#include <stdio.h>

typedef struct {
    popoto_object object; /* zero means "never saved" */
    const char *project_id;
    popoto_id episode_id;
    const char *title;
    double score;
} episode;

static const popoto_field episode_fields[] = {
    POPOTO_KEY(episode, project_id),
    POPOTO_AUTO_KEY(episode, episode_id),
    POPOTO_FIELD(episode, title),
    POPOTO_SORTED(episode, score, .partition_by = "project_id"),
};
static const popoto_model Episode = POPOTO_MODEL("Episode", episode, episode_fields);

/* The project's episodes with a score of at least 0.5, the best first. */
static popoto_status print_best(popoto_db *db, const char *project) {
    popoto_query_desc best = {
        .model = &Episode,
        .where = { POPOTO_IS("project_id", project), POPOTO_IS("score__gte", 0.5) },
        .order_by = "-score",
        .limit = 10,
    };
    popoto_rows *rows;
    popoto_status status = popoto_query(db, &best, &rows);
    for (size_t i = 0; i < popoto_rows_count(rows); i++) {
        const episode *it = popoto_rows_at(rows, i);
        printf("%s  %-14s %.1f\n", it->project_id, it->title, it->score);
    }
    popoto_rows_free(rows);
    return status;
}

int main(void) {
    popoto_db *db = popoto_open("embedded:", NULL);
    episode first = { .project_id = "project-a", .title = "First meeting", .score = 0.8 };
    episode second = { .project_id = "project-a", .title = "Follow-up", .score = 0.6 };
    episode other = { .project_id = "project-b", .title = "Kickoff", .score = 0.9 };

    popoto_status status = popoto_create(db, &Episode, &first); /* fills first.episode_id */
    if (status == POPOTO_OK)
        status = popoto_create(db, &Episode, &second);
    if (status == POPOTO_OK)
        status = popoto_create(db, &Episode, &other);
    if (status == POPOTO_OK)
        status = print_best(db, "project-a");
    if (status != POPOTO_OK)
        fprintf(stderr, "%s: %s\n", popoto_status_name(status), popoto_error(db));
    popoto_close(db);
    return status == POPOTO_OK ? 0 : 1;
}
