"""A small program that mypy --strict is to accept, and that runs (test_citizen.py does both)."""

import asyncio
from typing import List, Optional

import popoto
from popoto import AutoKeyField, ConfidenceField, Field, KeyField, Model, ModelException, QueryException, SortedField
from popoto.redis_db import check_connection


class Episode(Model):
    project_id = KeyField(type=str)
    episode_id = AutoKeyField()
    title = Field(type=str)
    score = SortedField(type=float, partition_by=("project_id",))
    certainty = ConfidenceField(initial_confidence=0.5, partition_by="project_id")

    class Meta:
        order_by = "score"
        ttl = 3600

    def loud(self) -> str:
        return str(self.title).upper()


def best(project: str) -> List[Episode]:
    return Episode.query.filter(project_id=project, score__gte=0.5).order_by("-score").limit(3).all()


def find(project: str, episode: str) -> Optional[Episode]:
    return Episode.query.get(project_id=project, episode_id=episode)


async def count(project: str) -> int:
    await Episode.async_create(project_id=project, title="async", score=0.1)
    return await Episode.query.async_count(project_id=project)


def main() -> None:
    assert check_connection()
    episode = Episode.create(project_id="a", title="first", score=0.75)
    episode.title = "renamed"
    episode.save(update_fields=["title"])
    confidence: float = ConfidenceField.update_confidence(episode, "certainty", signal=1.0)
    for found in best("a"):
        print(found.loud(), found.db_key.redis_key != "", confidence)
    number: int = asyncio.run(count("a"))
    print(number, len(Episode.query.filter(project_id="a", score__lt=0.5)))
    with popoto.scope(project_id="a"):
        try:
            Episode.create(project_id="b", title="other", score=0.5)
        except ModelException as why:
            print(type(why).__name__)
    try:
        list(Episode.query.filter(nothing=1))
    except QueryException as why:
        print(why.field)
    again = find("a", str(episode.episode_id))
    if again is not None:
        print(again.delete(), again == episode)


if __name__ == "__main__":
    main()
