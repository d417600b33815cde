import pytest
from guardedit.editing.values import *
from guardedit.editing.settings import EditSettings
def test_x(host, contexts, groups, spread_setup, said):
    from guardedit.editing.methods.memit import MemitEditor
    for layer in (0,1):
        for r in (Recipe(),Recipe(clamp_ratio=20.,learning_rate_ratio=.5,steps=40)):
            v=find_values(host,layer,groups,contexts=contexts,recipe=r)
            print("L",layer,r.steps,[(round(x.loss_nats,3),x.steps,round(float(x.change.norm()/x.bare_value.norm()),2)) for x in v])
            for layers in ((layer,),(0,1)) if layer else ((0,),):
                for lam in (.01,1e-3):
                    su=spread_setup(host,layers=layers,dials=EditSettings(background_weight=lam,ridge=.1,contexts=1))
                    e=MemitEditor(su,contexts=contexts,recipe=r)
                    print("   ",layers,lam,said(su,e.propose(groups,()).edits,groups))
    assert 0
